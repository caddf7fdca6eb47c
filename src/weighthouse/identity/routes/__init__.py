"""identity's doors: the JSON endpoints of the CLI and SDK, and the redirects of the browser's sign-in."""
