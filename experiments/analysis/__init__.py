"""One file a figure: its grids, summary, drawing, findings and caption, from data alone."""
