"""Draw scenes by day and by night: pictures to try ``backlit`` on before you have your own.

Writes ``photos/day/``, ``photos/night/`` (to learn from) and ``archive/`` (to sort).
"""

from pathlib import Path

from PIL import Image

from backlit.photos.scenes import render_scenes

images, labels = render_scenes(240, seed=0)
for number, (image, label) in enumerate(zip(images, labels, strict=True)):
    folder = Path("archive") if number >= 200 else Path("photos", ("day", "night")[label])
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(folder / f"scene{number:03}.jpg", quality=92)
print("200 scenes in photos/day and photos/night, 40 in archive")
