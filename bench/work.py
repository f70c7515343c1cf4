"""Floating-point operations of each benchmark row, as its sums are written: direct convolutions, whole attention.

A multiplication and an addition count two. A faster algorithm (Winograd) does fewer, so its rate as written can pass
what the machine does in products.
"""

IMAGE_SIDE, IMAGE_BANDS = 96, 4
SPECTRUM_PIXELS = 8704
BASE = {"dim": 768, "hidden": 2048, "layers": 12}


def product(rows, inputs, outputs):
    return 2 * rows * inputs * outputs


def convolution(side, inputs, outputs, kernel):
    """`side`: that of the output."""
    return product(side * side, inputs * kernel * kernel, outputs)


def residual_units(side, channels, count):
    """3 x 3 and 1 x 1 convolutions; the gate's own are a few rows."""
    return count * (convolution(side, channels, channels, 3) + convolution(side, channels, channels, 1))


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
    return count * (2 * 7 * length * channels + 2 * product(length, channels, 4 * channels))


def spectrum_encoder():
    total, length, inputs, stride = 0, SPECTRUM_PIXELS, 2, 4
    for channels, depth in [(64, 3), (128, 3), (256, 27), (512, 3)]:
        length //= stride
        total += product(length, stride * inputs, channels) + convnext(length, channels, depth)
        inputs, stride = channels, 2
    return total + product(length, 512, 10)


def spectrum_decoder():
    length, inputs = SPECTRUM_PIXELS // 32, 512
    total = product(length, 10, 512)
    for channels, depth, stride in [(256, 3, 2), (128, 9, 2), (64, 3, 2), (2, 3, 4)]:
        total += product(length, inputs, stride * channels)
        length, inputs = length * stride, channels
        total += convnext(length, channels, depth)
    return total


def encoder_layers(tokens, layers=BASE["layers"]):
    dim, hidden = BASE["dim"], BASE["hidden"]
    linear = product(tokens, dim, 3 * dim) + product(tokens, dim, dim) + 3 * product(tokens, dim, hidden)
    return layers * (linear + 4 * tokens * tokens * dim)


def decoder_layers(asked, seen, layers=BASE["layers"], uniform=True):
    """`uniform`: the published mask, which makes self-attention one mean an object."""
    dim, hidden = BASE["dim"], BASE["hidden"]
    own = 0 if uniform else product(asked, dim, 4 * dim) + 4 * asked * asked * dim
    cross = 2 * product(asked, dim, dim) + product(seen, dim, 2 * dim) + 4 * asked * seen * dim
    return layers * (own + cross + 3 * product(asked, dim, hidden))


def encode(tokens):
    return encoder_layers(tokens) + product(tokens, BASE["dim"], BASE["dim"])


def ragged(batch):
    """Objects of 50 to 250 tokens, evenly spread."""
    return sum(encode(50 + index * 200 // (batch - 1)) for index in range(batch))


def predict_spectrum():
    return encode(580) + decoder_layers(273, 580) + product(273, BASE["dim"], 1024)


def train_transformer():
    """Forward and twice as much backward; 4 layers a side, 256 tokens seen and 128 predicted."""
    dim = BASE["dim"]
    forward = encoder_layers(256, 4) + product(256, dim, dim) + decoder_layers(128, 256, 4)
    return 3 * (forward + product(88, dim, 4375) + product(40, dim, 1024))


ONE_OBJECT = {
    "image-encode": image_encoder,
    "image-decode": image_decoder,
    "spectrum-encode": spectrum_encoder,
    "spectrum-decode": spectrum_decoder,
    "encode": lambda: encode(855),
    "predict-spectrum": predict_spectrum,
    "train-transformer": train_transformer,
    "train-image-codec": lambda: 3 * (image_encoder() + image_decoder()),
    "train-spectrum-codec": lambda: 3 * (spectrum_encoder() + spectrum_decoder()),
}


def operations(name, batch):
    """Of one call; 0 where counting makes no sense."""
    if name == "encode-ragged":
        return ragged(batch)
    one = ONE_OBJECT.get(name)
    return batch * one() if one else 0
