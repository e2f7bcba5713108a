"""Local accounts: names, passwords, logins, and limits on guessing."""
