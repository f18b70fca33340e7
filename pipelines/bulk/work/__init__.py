"""Windows and products as tasks: in which order, by whom, and where what is computed lies until it is used."""
