"""identity's tables, one file a noun. Rows carry a body and a seal; what a row says counts only if its seal holds."""
