"""An evaluation told to people: in the terminal and as one HTML file, in English and Japanese."""
