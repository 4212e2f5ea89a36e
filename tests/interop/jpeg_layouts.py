"""Draws JPEG files of every layout that the standard allows and libjpeg reads, with what Pillow makes of them.

    pip install pillow numpy
    python tests/interop/jpeg_layouts.py /tmp/layouts 1000 --seed 1
    JPEG_LAYOUTS=/tmp/layouts cargo test --test data jpeg:: -- --nocapture

The encoder is this file's own, since usual ones write only the usual layouts: one to four components of any sampling
factors, in any number of scans in any order, sequential or progressive, with restart intervals that change, up to four
Huffman and quantisation tables that change between scans or are missing (motion JPEG), JFIF and Adobe markers.
A seed reproduces its set. Each file `N.jpg` gets a `N.png`, the pixels that Pillow (libjpeg-turbo) decodes, and its layout in
`layouts.json`; files that Pillow refuses have no pixels. `tests/golden/jpeg` holds such a set, as an archive."""

import argparse
import io
import json
import random
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

ZIGZAG = sorted(range(64), key=lambda i: (i // 8 + i % 8, (i // 8 if (i // 8 + i % 8) % 2 else i % 8)))
DCT = np.array([[np.cos((2 * x + 1) * u * np.pi / 16) * (0.5 if u else 8**-0.5) for x in range(8)] for u in range(8)])

# The tables of annex K.3, as (lengths, symbols), which a motion JPEG leaves out: for luma and for chroma.
K_AC = [
    (
        "00020103030204030505040400 00017d",
        "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a"
        "434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8"
        "a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa",
    ),
    (
        "00020102040403040705040400 010277",
        "0001020311040521310612415107617113223281081442 91a1b1c109233352f0156272d10a162434e125f11718191a262728292a35363738393a"
        "434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a92939495969798999aa2a3a4a5a6a7"
        "a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa",
    ),
]
K_DC = [("0001050101010101010000000000 0000", "000102030405060708090a0b"), ("00030101010101010101010000000000", "000102030405060708090a0b")]


def table(pair):
    return tuple(list(bytes.fromhex(text)) for text in pair)


def random_table(draw, symbols):
    """All symbols in random order, with codes of one length or of two: the code of ones stays unused."""
    symbols = draw.sample(symbols, len(symbols))
    short = draw.randrange(0, 3)  # so many codes of 2 bits, the others of equal length behind them
    length = 2
    while (len(symbols) - short) + 1 > (4 - short) << (length - 2):
        length += 1
    counts = [0] * 16
    counts[1] += short
    counts[length - 1] += len(symbols) - short
    return counts, symbols


def codes(counts_and_symbols):
    counts, symbols = counts_and_symbols
    code, at, found = 0, 0, {}
    for length, count in enumerate(counts, 1):
        for symbol in symbols[at : at + count]:
            found[symbol] = (code, length)
            code += 1
        at += count
        code <<= 1
    return found


class Bits:
    """Compressed data: bits, a zero behind each FF."""

    def __init__(self):
        self.bytes, self.held, self.n = bytearray(), 0, 0

    def put(self, value, length):
        self.held = self.held << length | (value & ((1 << length) - 1))
        self.n += length
        while self.n >= 8:
            self.n -= 8
            byte = self.held >> self.n & 0xFF
            self.bytes += b"\xff\x00" if byte == 0xFF else bytes([byte])
        self.held &= (1 << self.n) - 1

    def number(self, value, size):
        self.put(value if value >= 0 else value + (1 << size) - 1, size)

    def align(self):
        if self.n:
            self.put(0xFF, 8 - self.n)

    def marker(self, code):
        self.align()
        self.bytes += bytes([0xFF, code])


def size_of(value):
    return abs(int(value)).bit_length()


def segment(code, content):
    return bytes([0xFF, code]) + (len(content) + 2).to_bytes(2, "big") + bytes(content)


class Coder:
    """Codes blocks of one scan: `band` of the coefficients, from bit `high` (0: from the top) down to bit `low`."""

    def __init__(self, bits, dc, ac, band, high, low, progressive):
        self.bits, self.dc, self.ac = bits, dc, ac
        self.band, self.high, self.low, self.progressive = band, high, low, progressive
        self.restart()

    def restart(self):
        self.before, self.run = {}, 0

    def symbol(self, tables, which, symbol):
        self.bits.put(*tables[which][symbol])

    def block(self, component, which_dc, which_ac, block):
        first, last = self.band
        if first == 0:
            if self.high:
                self.bits.put(int(block[0]) >> self.low, 1)
            else:
                value = int(block[0]) >> self.low
                difference = value - self.before.get(component, 0)
                self.before[component] = value
                self.symbol(self.dc, which_dc, size_of(difference))
                self.bits.number(difference, size_of(difference))
            if self.progressive:
                return
            first = 1
        values = [int(np.sign(v)) * (abs(int(v)) >> self.low) for v in block]
        (self.refine if self.high else self.first)(which_ac, values, first, last)

    def first(self, which, values, first, last):
        zeros = 0
        for value in values[first : last + 1]:
            if value == 0:
                zeros += 1
                continue
            self.flush(which)
            while zeros > 15:
                self.symbol(self.ac, which, 0xF0)
                zeros -= 16
            self.symbol(self.ac, which, zeros << 4 | size_of(value))
            self.bits.number(value, size_of(value))
            zeros = 0
        if zeros and self.progressive:
            self.run += 1
            if self.run == 0x7FFF:
                self.flush(which)
        elif zeros:
            self.symbol(self.ac, which, 0)

    def refine(self, which, values, first, last):
        """One more bit of each value: new ones are ±1, known ones get a bit as the decoder passes them."""
        new = [k for k in range(first, last + 1) if abs(values[k]) == 1]
        at = first
        for k in new:
            zeros, pending = 0, []
            while at < k:
                if values[at] == 0:
                    if zeros == 15:
                        # The sixteenth zero: a run of its own, which takes the corrections before it along.
                        self.symbol(self.ac, which, 0xF0)
                        [self.bits.put(bit, 1) for bit in pending]
                        zeros, pending = 0, []
                    else:
                        zeros += 1
                else:
                    pending.append(abs(values[at]) & 1)
                at += 1
            self.symbol(self.ac, which, zeros << 4 | 1)
            self.bits.put(values[k] > 0, 1)
            [self.bits.put(bit, 1) for bit in pending]
            at = k + 1
        if at <= last:
            self.symbol(self.ac, which, 0)  # the rest of this block alone
            [self.bits.put(abs(v) & 1, 1) for v in values[at : last + 1] if v]

    def flush(self, which):
        if self.run:
            size = self.run.bit_length() - 1
            self.symbol(self.ac, which, size << 4)
            self.bits.put(self.run, size)
            self.run = 0


def blocks_of(draw, rows, columns, seen, quantisation, noise):
    """Smooth waves with noise, transformed and quantised: `[rows, columns, 64]` in zigzag order. What lies beyond the
    `seen` rows and columns repeats the last of them, as every encoder has it."""
    y, x = np.mgrid[: 8 * rows, : 8 * columns]
    plane = draw.uniform(-60, 60) + 0.0 * x
    for _ in range(3):
        plane += draw.uniform(10, 40) * np.cos(draw.uniform(0, 0.2) * x + draw.uniform(0, 0.2) * y + draw.uniform(0, 6))
    plane += np.random.default_rng(draw.getrandbits(32)).normal(0, noise + 1e-9, plane.shape)
    plane = np.pad(plane[: seen[0], : seen[1]], [(0, 8 * rows - seen[0]), (0, 8 * columns - seen[1])], "edge")
    tiles = np.clip(plane, -128, 127).reshape(rows, 8, columns, 8).transpose(0, 2, 1, 3)
    spectrum = (DCT @ tiles @ DCT.T).reshape(rows, columns, 64)[..., ZIGZAG]
    values = np.rint(spectrum / np.array(quantisation)).astype(int)
    return np.clip(values, -1023, 1023)


def scans_of(draw, ids, progressive, factors):
    """Scans as (components, first, last, high, low), each component's in an order that decoding allows."""

    def partition(components):
        components = draw.sample(components, len(components))
        while components:
            most = draw.randrange(1, len(components) + 1)
            # The components of a scan stand in the order of the frame, and an MCU has at most ten blocks.
            while most > 1 and sum(factors[c][0] * factors[c][1] for c in components[:most]) > 10:
                most -= 1
            yield sorted(components[:most])
            components = components[most:]

    if not progressive:
        return [(part, 0, 63, 0, 0) for part in partition(ids)]
    low = draw.randrange(3)
    queue = [(part, 0, 0, 0, low) for part in partition(ids)]
    chains = []
    for bit in range(low, 0, -1):
        queue += [(part, 0, 0, bit, bit - 1) for part in partition(ids)]
    for c in ids:
        low, cut = draw.randrange(3), draw.choice([63, 5, 20])
        bands = [(1, 63)] if cut == 63 else [(1, cut), (cut + 1, 63)]
        chain = [([c], *band, 0, low) for band in bands]
        for bit in range(low, 0, -1):
            chain += [([c], *band, bit, bit - 1) for band in draw.sample([bands, [(1, 63)]], 1)[0]]
        chains.append(chain)
    # Means come first (libjpeg warns otherwise); then everything in a random order that keeps each chain.
    first = [scan for scan in queue if scan[3] == 0]
    chains.append(queue[len(first) :])
    merged = []
    while any(chains):
        chain = draw.choice([chain for chain in chains if chain])
        merged.append(chain.pop(0))
    return first + merged


def draw_layout(draw, side):
    n = draw.choices([1, 3, 4], [1, 8, 2])[0]
    kind = draw.random()
    usual = [[(1, 1)] * 3, [(2, 1), (1, 1), (1, 1)], [(2, 2), (1, 1), (1, 1)], [(1, 2), (1, 1), (1, 1)], [(4, 1), (1, 1), (1, 1)]]
    if n == 3 and kind < 0.5:
        factors = draw.choice(usual)
    elif kind < 0.9:
        factors = [(draw.choice([1, 2]), draw.choice([1, 2])) for _ in range(n)]
    else:
        factors = [(draw.choice([1, 2, 4]), draw.choice([1, 2, 4])) for _ in range(n)]
        if draw.random() < 0.1:
            factors[draw.randrange(n)] = (3, draw.choice([1, 3]))
    process = draw.choices(["baseline", "extended", "progressive"], [6, 2, 3])[0]
    marks = draw.choice([[], ["jfif"], ["adobe"], ["jfif", "adobe"], ["adobe", "jfif"], ["jfif"]])
    names = draw.choice([list(range(1, n + 1))] * 4 + [list(range(n)), list(b"RGBA")[:n], draw.sample(range(256), n)])
    return {
        "size": [draw.randrange(1, side), draw.randrange(1, side)],
        "factors": factors,
        "process": process,
        "scans": scans_of(draw, list(range(n)), process == "progressive", factors),
        "marks": marks,
        "transform": draw.randrange(3),
        "names": names,
        "restart": draw.choice([0, 0, 0, 1, 2, 7]),
        "restart_changes": draw.random() < 0.15,
        "huffman": draw.choice(["standard", "standard", "missing", "random", "random", "per scan"]),
        "quantisation": draw.choice(["one", "own", "own", "per scan", "own", "own", "one", "redefined"]),
        "fill": draw.random() < 0.2,
        "incomplete": draw.random() < 0.05,
        "noise": draw.choice([0, 2, 12]),
    }


def encode(layout, draw):
    (width, height), factors, process = layout["size"], layout["factors"], layout["process"]
    progressive, n = process == "progressive", len(factors)
    if progressive and layout["huffman"] == "missing":
        layout["huffman"] = "random"  # the standard tables lack the symbols of progressive scans
    most = [max(f[0] for f in factors), max(f[1] for f in factors)]
    mcus = [-(-width // (8 * most[0])), -(-height // (8 * most[1]))]
    tables = {"one": 1}.get(layout["quantisation"], min(n, 4))
    steps = [[draw.randrange(1, 10 + k) for k in range(64)] for _ in range(tables)]
    deep = process != "baseline" and draw.random() < 0.3
    own = [draw.randrange(tables) for _ in range(n)]
    seen = lambda c: [-(-size * factors[c][i] // most[i]) for i, size in ((1, height), (0, width))]
    blocks = [
        blocks_of(draw, mcus[1] * v, mcus[0] * h, seen(c), steps[own[c]], layout["noise"]) for c, (h, v) in enumerate(factors)
    ]
    slots = 2 if process == "baseline" or layout["huffman"] in ("standard", "missing") else 4
    out = bytearray(b"\xff\xd8")

    def put(code, content):
        if layout["fill"] and draw.random() < 0.5:
            out.extend(b"\xff" * draw.randrange(1, 4))
        out.extend(segment(code, content))

    for mark in layout["marks"]:
        if mark == "jfif":
            put(0xE0, b"JFIF\0\1\2\0\0\1\0\1\0\0")
        else:
            put(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([layout["transform"]]))
    if layout["fill"]:
        put(0xFE, b"a comment \xff\xd9\xff\xda")
    write = lambda t, ts: put(0xDB, bytes([16 * deep + t]) + b"".join(s.to_bytes(1 + deep, "big") for s in ts))
    if layout["quantisation"] != "per scan":
        for t, values in enumerate(steps):
            write(t, values)
    frame = {"baseline": 0xC0, "extended": 0xC1, "progressive": 0xC2}[process]
    body = bytes([8]) + height.to_bytes(2, "big") + width.to_bytes(2, "big") + bytes([n])
    put(frame, body + b"".join(bytes([layout["names"][c], 16 * h + v, own[c]]) for c, (h, v) in enumerate(factors)))

    def new_tables():
        if layout["huffman"] in ("standard", "missing") and not progressive:
            return [table(t) for t in K_DC], [table(t) for t in K_AC]
        sizes = [run << 4 | size for run in range(16) for size in range(11)]
        return (
            [random_table(draw, list(range(12))) for _ in range(slots)],
            [random_table(draw, sizes) for _ in range(slots)],
        )

    def write_tables(dc, ac):
        pieces = [bytes([16 * kind + i, *counts, *symbols]) for kind, ts in ((0, dc), (1, ac)) for i, (counts, symbols) in enumerate(ts)]
        draw.shuffle(pieces)
        if draw.random() < 0.5:
            put(0xC4, b"".join(pieces))
        else:
            [put(0xC4, piece) for piece in pieces]

    dc, ac = new_tables()
    if layout["huffman"] not in ("missing", "per scan"):
        write_tables(dc, ac)
    restart, written = layout["restart"], set()
    if restart:
        put(0xDD, restart.to_bytes(2, "big"))
    if progressive and layout["incomplete"]:
        del layout["scans"][-1]  # libjpeg smooths what it leaves coarse
    for number, (parts, first, last, high, low) in enumerate(layout["scans"]):
        if number and layout["quantisation"] == "redefined" and len({c for s in layout["scans"][:number] for c in s[0]}) == n:
            write(0, [9] * 64)  # comes too late: each component keeps the table that its first scan found
        if number and layout["restart_changes"]:
            restart = draw.choice([0, 1, 3])
            put(0xDD, restart.to_bytes(2, "big"))
        if layout["huffman"] == "per scan":
            dc, ac = new_tables()
            write_tables(dc, ac)
        if layout["quantisation"] == "per scan":
            for t in sorted({own[c] for c in parts}):
                if t not in written:
                    write(t, steps[t])
                    written.add(t)
        which = {c: (min(c, 1), min(c, 1)) if layout["huffman"] != "random" else (draw.randrange(slots), draw.randrange(slots)) for c in parts}
        selectors = b"".join(bytes([layout["names"][c], 16 * which[c][0] + which[c][1]]) for c in parts)
        put(0xDA, bytes([len(parts)]) + selectors + bytes([first, last, 16 * high + low]))
        bits = Bits()
        coder = Coder(bits, [codes(t) for t in dc], [codes(t) for t in ac], (first, last), high, low, progressive)
        for index, mcu in enumerate(mcus_of(parts, factors, most, mcus, (width, height))):
            if restart and index and index % restart == 0:
                coder.flush(which[parts[0]][1])
                bits.marker(0xD0 + (index // restart - 1) % 8)
                coder.restart()
            for c, row, column in mcu:
                coder.block(c, *which[c], blocks[c][row, column])
        coder.flush(which[parts[0]][1])
        bits.align()
        out += bits.bytes
    return bytes(out + b"\xff\xd9")


def mcus_of(parts, factors, most, mcus, size):
    """The blocks (component, row, column) of each MCU of a scan; a scan of one component has only those that show."""
    if len(parts) == 1:
        c = parts[0]
        columns, rows = (-(-(-(-size[i] * factors[c][i] // most[i])) // 8) for i in (0, 1))
        return [[(c, row, column)] for row in range(rows) for column in range(columns)]
    inside = lambda x, y: [
        (c, y * factors[c][1] + v, x * factors[c][0] + h) for c in parts for v in range(factors[c][1]) for h in range(factors[c][0])
    ]
    return [inside(x, y) for y in range(mcus[1]) for x in range(mcus[0])]


PLAIN = {
    "size": [20, 20],
    "factors": [(1, 1)] * 3,
    "process": "baseline",
    "scans": [([0, 1, 2], 0, 63, 0, 0)],
    "marks": ["jfif"],
    "transform": 1,
    "names": [1, 2, 3],
    "restart": 0,
    "restart_changes": False,
    "huffman": "standard",
    "quantisation": "own",
    "fill": False,
    "incomplete": False,
    "noise": 2,
}


def decode(data):
    """As a PNG, what Pillow makes of a file: grey or colour."""
    image = Image.open(io.BytesIO(data))
    png = io.BytesIO()
    (image if image.mode == "L" else image.convert("RGB")).save(png, "PNG")
    return png.getvalue()


def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("out", type=Path, help="a folder, or an archive if it ends in .tar")
    ask.add_argument("count", type=int)
    ask.add_argument("--seed", type=int, default=1)
    ask.add_argument("--side", type=int, default=70, help="sides are shorter than so many pixels")
    ask.add_argument("--bytes", type=int, default=1 << 20, help="longer files are left out")
    ask = ask.parse_args()
    files, layouts = {"plain.jpg": encode(PLAIN, random.Random(0))}, {}
    for i in range(ask.count):
        draw = random.Random(f"{ask.seed}/{i}")
        layout = draw_layout(draw, ask.side)
        data = encode(layout, draw)
        if len(data) <= ask.bytes:
            files[f"{i:04}.jpg"], layouts[f"{i:04}"] = data, layout
    refused = 0
    for name, data in list(files.items()):
        try:
            files[name.replace("jpg", "png")] = decode(data)
        except OSError:
            refused += 1
    files["layouts.json"] = json.dumps(layouts).encode()
    if ask.out.suffix == ".tar":
        with tarfile.open(ask.out, "w", format=tarfile.USTAR_FORMAT) as archive:
            for name, data in sorted(files.items()):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    else:
        ask.out.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (ask.out / name).write_bytes(data)
    print(f"{len(layouts) + 1} files, of which Pillow refuses {refused}")


if __name__ == "__main__":
    main()
