"""What a token costs: CPU time, delay and memory of servers that pass one stream through, beside nginx."""
