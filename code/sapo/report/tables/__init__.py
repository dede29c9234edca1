"""Tables of text, and their Markdown, LaTeX, HTML and data files."""
