"""What an uploaded file is: its name, its type, and what of it people and models see. No endpoint, no database."""
