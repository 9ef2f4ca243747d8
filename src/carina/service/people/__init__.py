"""Who may do what: accounts, passwords, sessions, tokens, and what people decided."""
