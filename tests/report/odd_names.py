"""Names that a page must show and must not believe."""

CLASS = '<script>alert(1)<|script>&"x'
FILE = "<img src=x onerror=alert(1)>.jpg"
BYTES = b"b\xff\nrk.jpg"
