"""The database: its file, transactions, migrations, dictionaries and retention cutoffs."""
