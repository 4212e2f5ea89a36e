"""Makes the pictures in this folder and pixels.json. Made with Pillow 13.0: python3 make.py"""

import io, json, struct
from PIL import Image


def wave(x, y, c):
    return (x * 5 + y * 9 + c * 60) % 256


def smooth(mode, bands):
    image = Image.new(mode, (16, 16))
    image.putdata([tuple(wave(x, y, c) for c in range(bands)) for y in range(16) for x in range(16)])
    return image


# Four inks. Pillow writes them as Photoshop does: inverted, behind an Adobe marker.
buffer = io.BytesIO()
smooth("CMYK", 4).save(buffer, "JPEG", quality=100, subsampling=0)
cmyk = buffer.getvalue()
open("cmyk.jpg", "wb").write(cmyk)

# The same data called YCCK: the last byte of the Adobe marker is the colour transform, 0 or 2.
at = cmyk.index(b"Adobe")
assert cmyk[at + 11] == 0
open("ycck.jpg", "wb").write(cmyk[: at + 11] + b"\x02" + cmyk[at + 12 :])

# 3 × 2 pixels that a camera held on its side: orientation 6, turn by a quarter to the right to view.
image = Image.new("RGB", (16, 8))
image.putdata([(250, 10, 10) if x < 8 else (10, 10, 250) for y in range(8) for x in range(16)])
exif = Image.Exif()
exif[0x0112] = 6
image.save("turned.jpg", quality=100, subsampling=0, exif=exif)
image.save("turned.png", exif=exif)

# A palette with a transparent colour.
image = Image.new("P", (3, 1))
image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
image.putdata([0, 1, 2])
image.save("palette.png", transparency=1)

# 16 bits of grey; the raw numbers are what a reader has to reduce.
levels = [0, 127, 128, 129, 257, 32767, 32768, 32896, 65406, 65407, 65535]
image = Image.frombytes("I;16", (len(levels), 1), struct.pack(f"<{len(levels)}H", *levels))
image.save("deep.png")

pixels = {}
for name in ("cmyk.jpg", "ycck.jpg", "turned.jpg", "turned.png", "palette.png"):
    image = Image.open(name).convert("RGB")
    pixels[name] = {"size": image.size, "rgb": list(image.tobytes())}
pixels["deep.png"] = {"levels": levels}
json.dump(pixels, open("pixels.json", "w"))
