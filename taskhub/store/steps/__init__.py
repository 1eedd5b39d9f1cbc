"""The steps of writes and their rows: what all SQL databases share; statements are their own."""
