"""How good convolutional networks are with a set left out, alone and together with backlit's.

``python -m benchmarks.day_night_convolutions`` trains small residual networks (PyTorch) on the
pixels of two of the three sets of photographs and of rendered scenes, and judges the whole third,
as ``python benchmarks/day_night.py leave-one-set-out`` does. They learn their features, where
backlit's are given: so it shows what given features cost, and the multiply-adds what learnt ones
would. "both" is the mean of their logit and of that of backlit's recipe.
"""

import argparse
import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import logit
from torch import nn
from torch.nn import functional as F

from backlit.photos.examples import PictureSet, join_examples
from backlit.photos.learning import learn
from backlit.photos.reading import read_crops, reduce_picture
from backlit.photos.scenes import render_scenes
from benchmarks.day_night import CLASSES, RECIPE, SETS, list_set, read_scenes, read_set

READ_AT = 96
"""Side of the pictures from which crops of SIDE are taken."""

SIDE, SCENES, BATCH = 64, 1000, 64
AVERAGED = 0.005
"""What the judged network, a moving average, takes of each step's."""


@dataclass
class Pictures:
    """Pixels (m, 3, READ_AT, READ_AT), labels (m,), and the number of the set each is of."""

    pixels: torch.Tensor
    labels: torch.Tensor
    sets: torch.Tensor


def read_pictures(photos: Path) -> dict[str, Pictures]:
    """Read every split, and render scenes."""
    found = {}
    for number, split in enumerate([f"{name}/train" for name in SETS] + ["amos/test"]):
        paths, labels = list_set(photos, split)
        found[split] = _pictures([read_crops(path, READ_AT)[0] for path in paths], labels, number)
    scenes, of_scenes = render_scenes(SCENES, seed=5)
    pixels = [reduce_picture(scene, READ_AT)[0] for scene in scenes]
    return {**found, "scenes": _pictures(pixels, of_scenes.tolist(), len(found))}


def _pictures(pixels: list[Any], labels: list[int], number: int) -> Pictures:
    planes = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
    return Pictures(planes, torch.tensor(labels).float(), torch.full((len(labels),), number))


def join(parts: list[Pictures]) -> Pictures:
    """Put pictures in a row."""
    columns = zip(*((one.pixels, one.labels, one.sets) for one in parts), strict=True)
    return Pictures(*(torch.cat(column) for column in columns))


class Block(nn.Module):
    """Two convolutions and a way past them."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.past = nn.Sequential(
            nn.AvgPool2d(stride), nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (m, n_in, rows, columns) to (m, n_out, rows / stride, columns / stride)."""
        return F.relu(self.body(x) + self.past(x))


class Network(nn.Module):
    """Colours, their maximum and the row, to one logit: 64, 32, 32, 16, 8, 4 pixels a side."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(5, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            Block(width, width, 1),
            Block(width, 2 * width, 2),
            Block(2 * width, 4 * width, 2),
            Block(4 * width, 4 * width, 2),
        )
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(8 * width, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (m, 3, rows, columns) in [0, 1] to logits (m,)."""
        m, _, rows, columns = x.shape
        row = torch.linspace(-1, 1, rows)[:, None].expand(m, 1, rows, columns)
        h = self.body(torch.cat([x, row, x.amax(1, keepdim=True).log1p()], 1))
        pooled = torch.cat([h.mean((2, 3)), h.amax((2, 3))], 1)
        logits: torch.Tensor = self.head(pooled)[:, 0]
        return logits


def multiply_adds() -> int:
    """Count those of one picture's convolutions and products."""
    counted = []

    def count(layer: Any, _: Any, out: torch.Tensor) -> None:
        counted.append(layer.weight[0].numel() * out[0].numel())

    network = Network().eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    network(torch.zeros(1, 3, SIDE, SIDE))
    return sum(counted)


def changed(pixels: torch.Tensor) -> torch.Tensor:
    """Crop, flip, and change gamma, exposure, white balance and saturation: (m, 3, SIDE, SIDE)."""
    m = len(pixels)

    def drawn(low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.empty(m, *shape).uniform_(low, high)

    side, aspect = drawn(0.5, 1.0).sqrt(), drawn(-0.15, 0.15).exp()
    width, height = (side * aspect).clamp(max=1), (side / aspect).clamp(max=1)
    place = torch.zeros(m, 2, 3)
    place[:, 0, 0] = width * ((torch.rand(m) < 0.5).float() * 2 - 1)
    place[:, 1, 1] = height
    place[:, 0, 2] = drawn(-1.0, 1.0) * (1 - width)
    place[:, 1, 2] = drawn(-1.0, 1.0) * (1 - height)
    grid = F.affine_grid(place, [m, 3, SIDE, SIDE], align_corners=False)
    x = F.grid_sample(pixels.float() / 255, grid, padding_mode="border", align_corners=False)
    gains = (drawn(-0.3, 0.3, 1, 1, 1) + drawn(-0.12, 0.12, 3, 1, 1)).exp()
    x = (x.clamp(1e-4, 1) ** drawn(-0.25, 0.25, 1, 1, 1).exp() * gains).clamp(0, 1)
    grey = x.mean(1, keepdim=True)
    return (grey + (x - grey) * drawn(0.6, 1.3, 1, 1, 1)).clamp(0, 1)


def collages(x: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
    """Replace what lies beyond a cut by the same part of another picture of the same kind."""
    m = len(x)
    other = torch.arange(m)
    for kind in kinds.unique():
        own = (kinds == kind).nonzero()[:, 0]
        other[own] = own[torch.randperm(len(own))]
    angle = torch.rand(m, 1, 1) * 2 * torch.pi
    at = torch.linspace(-1, 1, SIDE)
    height = at[None, None, :] * angle.cos() + at[None, :, None] * angle.sin()
    beyond = height > torch.empty(m, 1, 1).uniform_(-0.6, 0.6)
    beyond &= torch.rand(m, 1, 1) < 0.6
    return torch.where(beyond[:, None], x[other], x)


def batches(learnt: Pictures, epochs: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield changed pictures and labels."""
    for _ in range(epochs):
        order = torch.randperm(len(learnt.labels))
        for chosen in order[: len(order) // BATCH * BATCH].split(BATCH):
            y = learnt.labels[chosen]
            kinds = learnt.sets[chosen] * 2 + y
            yield collages(changed(learnt.pixels[chosen]), kinds), y


def train(learnt: Pictures, epochs: int, seed: int) -> Network:
    """Train one network: AdamW, one rise and fall of the learning rate, softened labels."""
    torch.manual_seed(seed)
    network = Network()
    average = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    steps = epochs * (len(learnt.labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps + 1)
    for x, y in batches(learnt, epochs):
        loss = F.binary_cross_entropy_with_logits(network(x), 0.02 + 0.96 * y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        ours, theirs = average.state_dict(), network.state_dict()
        for name, value in theirs.items():
            if value.is_floating_point():
                ours[name].lerp_(value, AVERAGED)
    return average.eval()


@torch.no_grad()
def judge(network: Network, pixels: torch.Tensor) -> Any:
    """Return the mean logits of each picture and its mirror image."""
    found = []
    for part in pixels.split(256):
        x = F.interpolate(part.float() / 255, size=(SIDE, SIDE), mode="area")
        found.append((network(x) + network(x.flip(3))) / 2)
    return torch.cat(found).numpy()


def backlits(train: list[PictureSet], test: PictureSet) -> Any:
    """Return the logits of backlit's recipe."""
    splits = {"train": join_examples(train), "test": test}
    judged = learn(CLASSES, splits, RECIPE).judgements["test"]
    return logit(judged.probabilities[:, 1].astype(np.float64))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, default=Path("../shared/photos"))
    parser.add_argument("--networks", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=100)
    arguments = parser.parse_args()
    photos = arguments.photos
    if not photos.is_dir():
        parser.error(f"there is no folder {photos}; give --photos.")
    print(f"{multiply_adds():,} multiply-adds a picture and network", flush=True)
    pictures = read_pictures(photos)
    copies = RECIPE.copies or 0
    sets = {name: read_set(photos, f"{name}/train", copies) for name in SETS}
    tests = {**sets, "amos": join_examples([sets["amos"], read_set(photos, "amos/test", copies)])}
    scenes = read_scenes(copies)
    rows = []
    for held in SETS:
        begun = time.perf_counter()
        others = [name for name in SETS if name != held]
        learnt = join([pictures[f"{name}/train"] for name in others] + [pictures["scenes"]])
        judged = join([one for name, one in pictures.items() if name.startswith(f"{held}/")])
        found = [
            judge(train(learnt, arguments.epochs, seed), judged.pixels)
            for seed in range(arguments.networks)
        ]
        ours = backlits([sets[name] for name in others] + [scenes], tests[held])
        theirs = np.mean(found, axis=0)
        night = judged.labels.numpy() == 1
        row = {
            "backlit": share_right(ours, night),
            "one convolutional": float(np.mean([share_right(z, night) for z in found])),
            "convolutional": share_right(theirs, night),
            "both": share_right((ours + theirs) / 2, night),
        }
        rows.append(row)
        show(held, row, f"{time.perf_counter() - begun:.0f} s")
    show("mean", {name: float(np.mean([row[name] for row in rows])) for name in rows[0]})


def share_right(logits: Any, night: Any) -> float:
    """Return the share of pictures on the right side of 0."""
    return float(np.mean((logits > 0) == night))


def show(name: str, row: dict[str, float], more: str = "") -> None:
    """Print a line."""
    shares = "  ".join(f"{what} {share:.4f}" for what, share in row.items())
    print(f"{name:<10} {shares}  {more}", flush=True)


if __name__ == "__main__":
    main()
