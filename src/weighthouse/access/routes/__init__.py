"""HTTP of access: the API for programs, and the pages for people. Every judgement is in the room."""
