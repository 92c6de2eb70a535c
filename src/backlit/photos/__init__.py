"""Files of photographs in, day or night out."""
