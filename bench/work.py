"""The work of each benchmark row, as its sums are written: direct convolutions, whole attention.

A multiplication and an addition count two operations. A faster algorithm (Winograd) does fewer, so its rate as
written can pass what the machine does in products. Bytes are the least that must move: each weight once, input and
output; what a real implementation keeps between layers comes on top.
"""

from dataclasses import dataclass

IMAGE_SIDE, IMAGE_BANDS = 96, 4
SPECTRUM_GRID, SPECTRUM_PIXELS, SPECTRUM_TOKENS = 8704, 7781, 273
BASE = {"dim": 768, "hidden": 2048, "layers": 12}
# How often a training step moves each weight: read forward and backward, its gradient written and read, and read and
# written by the optimiser together with its two moments.
TRAINING_PASSES = 2 + 2 + 6


@dataclass(frozen=True)
class Work:
    """Operations of one object, and weights, which all objects of a batch share."""

    operations: float = 0
    weights: float = 0

    def __add__(self, other):
        return Work(self.operations + other.operations, self.weights + other.weights)

    def times(self, count):
        """As many layers of the kind."""
        return Work(count * self.operations, count * self.weights)


def product(rows, inputs, outputs):
    return Work(2 * rows * inputs * outputs, inputs * outputs)


def convolution(side, inputs, outputs, kernel):
    """`side`: that of the output."""
    return product(side * side, inputs * kernel * kernel, outputs)


def attention(asked, seen, dim):
    """Scores and sums of values; without weights."""
    return Work(4 * asked * seen * dim)


def residual_units(side, channels, count):
    """3 x 3 and 1 x 1 convolutions; the gate's own are a few rows."""
    return (convolution(side, channels, channels, 3) + convolution(side, channels, channels, 1)).times(count)


def image_encoder():
    total = convolution(96, 54, 128, 7) + product(96 * 96, 9, 54) + residual_units(96, 128, 1)
    total += convolution(48, 128, 256, 3) + residual_units(48, 256, 4)
    total += convolution(24, 256, 512, 3) + residual_units(24, 512, 4)
    return total + convolution(24, 512, 512, 7) + residual_units(24, 512, 4) + product(24 * 24, 512, 5)


def image_decoder():
    total = product(24 * 24, 5, 512) + residual_units(24, 512, 4) + convolution(24, 512, 512, 3)
    total += residual_units(24, 512, 4) + convolution(24, 512, 4 * 256, 1)
    total += residual_units(48, 256, 4) + convolution(48, 256, 4 * 128, 1)
    return total + residual_units(96, 128, 1) + convolution(96, 128, 54, 3) + product(96 * 96, 54, 9)


def convnext(length, channels, count):
    depthwise = Work(2 * 7 * length * channels, 7 * channels)
    pointwise = product(length, channels, 4 * channels) + product(length, 4 * channels, channels)
    return (depthwise + pointwise).times(count)


def spectrum_encoder():
    total, length, inputs, stride = Work(), SPECTRUM_GRID, 2, 4
    for channels, depth in [(64, 3), (128, 3), (256, 27), (512, 3)]:
        length //= stride
        total += product(length, stride * inputs, channels) + convnext(length, channels, depth)
        inputs, stride = channels, 2
    return total + product(length, 512, 10)


def spectrum_decoder():
    length, inputs = SPECTRUM_GRID // 32, 512
    total = product(length, 10, 512)
    for channels, depth, stride in [(256, 3, 2), (128, 9, 2), (64, 3, 2), (2, 3, 4)]:
        total += product(length, inputs, stride * channels)
        length, inputs = length * stride, channels
        total += convnext(length, channels, depth)
    return total


def encoder_layers(tokens, layers=BASE["layers"]):
    dim, hidden = BASE["dim"], BASE["hidden"]
    linear = product(tokens, dim, 3 * dim) + product(tokens, dim, dim) + product(tokens, dim, hidden).times(3)
    return (linear + attention(tokens, tokens, dim)).times(layers)


def decoder_layers(asked, seen, layers=BASE["layers"], uniform=True):
    """`uniform`: the published mask, which makes self-attention one mean an object."""
    dim, hidden = BASE["dim"], BASE["hidden"]
    own = Work() if uniform else product(asked, dim, 4 * dim) + attention(asked, asked, dim)
    cross = product(asked, dim, dim).times(2) + product(seen, dim, 2 * dim) + attention(asked, seen, dim)
    return (own + cross + product(asked, dim, hidden).times(3)).times(layers)


def encode(tokens):
    return encoder_layers(tokens) + product(tokens, BASE["dim"], BASE["dim"])


def ragged(batch):
    """Objects of 50 to 250 tokens, evenly spread."""
    objects = [encode(50 + index * 200 // (batch - 1)) for index in range(batch)]
    return Work(sum(one.operations for one in objects), objects[0].weights)


def predict_spectrum():
    return encode(580) + decoder_layers(SPECTRUM_TOKENS, 580) + product(SPECTRUM_TOKENS, BASE["dim"], 1024)


def train_transformer():
    """The forward pass; 4 layers a side, 256 tokens seen and 128 predicted."""
    dim = BASE["dim"]
    forward = encoder_layers(256, 4) + product(256, dim, dim) + decoder_layers(128, 256, 4)
    return forward + product(88, dim, 4375) + product(40, dim, 1024)


IMAGE_VALUES = IMAGE_BANDS * IMAGE_SIDE * IMAGE_SIDE
SPECTRUM_VALUES = 4 * SPECTRUM_PIXELS  # flux, inverse variance, wavelength, mask
# A forward pass of one object, and the numbers that go in and come out.
FORWARD = {
    "image-encode": (image_encoder(), IMAGE_VALUES + 576),
    "image-decode": (image_decoder(), IMAGE_VALUES + 576),
    "spectrum-encode": (spectrum_encoder(), SPECTRUM_VALUES + SPECTRUM_TOKENS),
    "spectrum-decode": (spectrum_decoder(), SPECTRUM_VALUES + SPECTRUM_TOKENS),
    "encode": (encode(855), 855 * (1 + BASE["dim"])),
    "predict-spectrum": (predict_spectrum(), 580 + SPECTRUM_TOKENS * 1024),
    "train-transformer": (train_transformer(), 384),
    "train-image-codec": (image_encoder() + image_decoder(), IMAGE_VALUES),
    "train-spectrum-codec": (spectrum_encoder() + spectrum_decoder(), SPECTRUM_VALUES),
}


def operations(name, batch):
    """Of one call; 0 where counting makes no sense. Backward takes twice as many as forward."""
    if name == "encode-ragged":
        return ragged(batch).operations
    if name not in FORWARD:
        return 0
    return batch * FORWARD[name][0].operations * (3 if name.startswith("train-") else 1)


def least_bytes(name, batch):
    """That one call must move in float32; 0 where counting makes no sense."""
    if name == "encode-ragged":
        return 4 * (ragged(batch).weights + batch * 150 * (1 + BASE["dim"]))
    if name not in FORWARD:
        return 0
    forward, ends = FORWARD[name]
    passes = TRAINING_PASSES if name.startswith("train-") else 1
    return 4 * (passes * forward.weights + batch * ends)
