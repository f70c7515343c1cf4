"""The PyTorch half of the benchmark: each operation in eager mode with the reference, polymathic-aion.

Shapes are those of `aion bench`; weights and inputs are random from one seed, since time does not depend on them.
An operation is a function `(batch) -> (tokens, step)`: tokens an object, and the closure that is timed.

Run as a script, `python torch_side.py DIR` writes what the start-up row loads: `DIR/model`, a Base checkpoint with
random weights, and `DIR/tokens.safetensors`.
"""

import resource
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from aion import AION
from aion.codecs import ImageCodec, SpectrumCodec
from aion.fourm.fm import FourM
from aion.fourm.modality_info import MODALITY_INFO
from aion.modalities import DESISpectrum, LegacySurveyImage
from safetensors.torch import save_file

SEED = 20
BANDS = ["DES-G", "DES-R", "DES-I", "DES-Z"]
IMAGE_TOKENS, IMAGE_VOCABULARY = 576, 4375
SPECTRUM_TOKENS, SPECTRUM_VOCABULARY = 273, 1024
SPECTRUM_PIXELS = 7781
PHOTOMETRY = ["tok_flux_g", "tok_flux_r", "tok_flux_i", "tok_flux_z"]
ALL_SCALARS = [*PHOTOMETRY, "tok_shape_r", "tok_ebv"]

RAGGED = [50, 250]  # fewest and most tokens of the objects of encode-ragged

# The training row: which tokens of the 855 are seen and which are predicted, an object.
TRAIN_INPUTS = {"tok_image": 180, "tok_spectrum_desi": 70}  # and the 6 scalars: 256
TRAIN_TARGETS = {"tok_image": 88, "tok_spectrum_desi": 40}  # 128


def image_codec():
    return ImageCodec(
        quantizer_levels=[7, 5, 5, 5, 5],
        hidden_dims=512,
        multisurvey_projection_dims=54,
        n_compressions=2,
        num_consecutive=4,
        embedding_dim=5,
    )


def spectrum_codec():
    return SpectrumCodec(
        encoder_depths=(3, 3, 27, 3),
        encoder_dims=(64, 128, 256, 512),
        decoder_depths=(3, 9, 3, 3),
        decoder_dims=(256, 128, 64, 2),
        latent_channels=512,
        embedding_dim=10,
        codebook_size=1024,
        dim=10,
    )


def transformer(depth=12):
    """Base width, `depth` encoder and `depth` decoder layers, all 40 modalities."""
    return AION(
        {
            "dim": 768,
            "encoder_depth": depth,
            "decoder_depth": depth,
            "num_heads": 12,
            "mlp_ratio": 4.0,
            "qkv_bias": False,
            "proj_bias": False,
            "mlp_bias": False,
            "norm_bias": False,
            "act_layer": "SiLU",
            "gated_mlp": True,
            "qk_norm": False,
            "domains_in": list(MODALITY_INFO),
            "domains_out": list(MODALITY_INFO),
        }
    )


def image(batch):
    return LegacySurveyImage(flux=torch.randn(batch, len(BANDS), 96, 96), bands=BANDS)


def wavelength(batch):
    """The DESI grid: 3600 to 9824 Angstrom in steps of 0.8."""
    return (3600.0 + 0.8 * torch.arange(SPECTRUM_PIXELS)).repeat(batch, 1)


def spectrum(batch):
    shape = (batch, SPECTRUM_PIXELS)
    return DESISpectrum(
        flux=2.0 + torch.randn(shape),
        ivar=0.5 + torch.rand(shape),
        mask=torch.rand(shape) < 0.01,
        wavelength=wavelength(batch),
    )


def random_tokens(batch, scalars, with_spectrum=False):
    tokens = {"tok_image": torch.randint(IMAGE_VOCABULARY, (batch, IMAGE_TOKENS))}
    if with_spectrum:
        tokens["tok_spectrum_desi"] = torch.randint(SPECTRUM_VOCABULARY, (batch, SPECTRUM_TOKENS))
    for key in scalars:
        tokens[key] = torch.randint(1024, (batch, 1))
    return tokens


def count(tokens):
    return sum(ids.shape[1] for ids in tokens.values())


def inference(tokens, call):
    """An operation without gradients."""

    @torch.inference_mode()
    def step():
        call()

    return tokens, step


def image_encode(batch):
    codec, picture = image_codec().eval(), image(batch)
    return inference(IMAGE_TOKENS, lambda: codec.encode(picture))


def image_decode(batch):
    codec, tokens = image_codec().eval(), torch.randint(IMAGE_VOCABULARY, (batch, IMAGE_TOKENS))
    return inference(IMAGE_TOKENS, lambda: codec.decode(tokens, bands=BANDS))


def spectrum_encode(batch):
    codec, observed = spectrum_codec().eval(), spectrum(batch)
    return inference(SPECTRUM_TOKENS, lambda: codec.encode(observed))


def spectrum_decode(batch):
    codec, grid = spectrum_codec().eval(), wavelength(batch)
    tokens = torch.randint(SPECTRUM_VOCABULARY, (batch, SPECTRUM_TOKENS))
    return inference(SPECTRUM_TOKENS, lambda: codec.decode(tokens, wavelength=grid))


def encode(batch):
    model, tokens = transformer().eval(), random_tokens(batch, ALL_SCALARS, with_spectrum=True)
    total = count(tokens)
    return inference(total, lambda: model.encode(tokens, num_encoder_tokens=total))


def encode_ragged(batch):
    """Objects of 50 to 250 tokens of an image, padded to the longest; the mask hides the padding."""
    model = transformer().eval()
    lengths = torch.tensor([RAGGED[0] + i * (RAGGED[1] - RAGGED[0]) // (batch - 1) for i in range(batch)])
    longest = int(lengths.max())
    tokens = {"tok_image": torch.randint(IMAGE_VOCABULARY, (batch, IMAGE_TOKENS))}
    # True where a token is left out.
    mask = {"tok_image": torch.arange(IMAGE_TOKENS)[None] >= lengths[:, None]}
    return inference(sum(RAGGED) // 2, lambda: model.encode(tokens, mask, num_encoder_tokens=longest))


def predict_spectrum(batch):
    model, tokens = transformer().eval(), random_tokens(batch, PHOTOMETRY)
    total = count(tokens) + SPECTRUM_TOKENS
    return inference(total, lambda: model.forward(tokens, DESISpectrum))


def training(tokens, model, loss_of):
    """An operation with gradients: forward, loss, backward and one fused AdamW update."""
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05, fused=True)

    def step():
        optimiser.zero_grad()
        loss = loss_of()
        loss.backward()
        optimiser.step()
        if not torch.isfinite(loss):
            raise SystemExit("the training loss is not finite: its time would mean nothing")

    return tokens, step


def train_transformer(batch):
    model = transformer(depth=4)
    tokens = random_tokens(batch, ALL_SCALARS, with_spectrum=True)
    masked = {key: masked_tokens(key, ids) for key, ids in tokens.items()}
    seen = sum(TRAIN_INPUTS.values()) + len(ALL_SCALARS)
    predicted = sum(TRAIN_TARGETS.values())

    def loss():
        # The forward pass writes its results into these dictionaries, so it gets fresh ones.
        modalities = {key: dict(entry) for key, entry in masked.items()}
        return FourM.forward(model, modalities, seen, predicted, loss_type="token")[0]

    return training(seen + predicted, model, loss)


def masked_tokens(key, ids):
    """Tokens with 4M's masks: random disjoint inputs and targets, True where a token is left out."""
    batch, length = ids.shape
    inputs, targets = TRAIN_INPUTS.get(key, length), TRAIN_TARGETS.get(key, 0)
    rank = torch.rand(batch, length).argsort(dim=1).argsort(dim=1)
    is_target = (rank >= inputs) & (rank < inputs + targets)
    attention = torch.zeros(batch, length, dtype=torch.long)
    if targets:
        # The first target carries the count of its group: that lets all of them attend to each other.
        attention[torch.arange(batch), is_target.int().argmax(dim=1)] = targets
    return {
        "tensor": ids,
        "input_mask": rank >= inputs,
        "target_mask": ~is_target,
        "decoder_attention_mask": attention,
    }


def train_image_codec(batch):
    codec, picture = image_codec(), image(batch)
    target = picture.flux.clone()

    def loss():
        latent = codec.quantizer.quantize(codec._encode(picture))
        # Unit noise: the published loss divides by the pixel's own, which costs one more product.
        return 0.5 * F.mse_loss(codec._decode(latent, bands=BANDS).flux, target)

    return training(IMAGE_TOKENS, codec, loss)


def train_spectrum_codec(batch):
    codec, observed = spectrum_codec(), spectrum(batch)
    valid, masked = (~observed.mask).float(), observed.mask.float()

    def loss():
        latent, normalisation = codec._encode(observed)
        latent, commitment, _ = codec.quantizer(latent)
        # The codec's own decode rounds the mask, which has no gradient: the same steps up to its logits.
        flux, mask = codec.decoder(codec.post_quant_conv(latent)).unbind(1)
        flux = codec.latent_grid.to_observed(flux, observed.wavelength)
        mask = codec.latent_grid.to_observed(mask, observed.wavelength)
        flux = (flux + 1.0) * torch.clamp(10 ** normalisation[:, None] - 1.0, 0.1)
        likelihood = 0.5 * (valid * observed.ivar * (observed.flux - flux) ** 2).mean()
        return likelihood + F.binary_cross_entropy_with_logits(mask, masked) + commitment

    return training(SPECTRUM_TOKENS, codec, loss)


OPERATIONS = {
    "image-encode": image_encode,
    "image-decode": image_decode,
    "spectrum-encode": spectrum_encode,
    "spectrum-decode": spectrum_decode,
    "encode": encode,
    "encode-ragged": encode_ragged,
    "predict-spectrum": predict_spectrum,
    "train-transformer": train_transformer,
    "train-image-codec": train_image_codec,
    "train-spectrum-codec": train_spectrum_codec,
}


def measure(name, batch, repeats, threads, compiled=False):
    """The row of one operation: median of `repeats` timings after one untimed call, in which it may be compiled."""
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    tokens, step = OPERATIONS[name](batch)
    if compiled:
        step = torch.compile(step)
    step()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return {
        "name": name,
        "batch": batch,
        "tokens": tokens,
        "seconds": statistics.median(seconds),
        "spread": max(seconds) - min(seconds),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }


def write_startup_files(folder):
    """The Base checkpoint and the tokens of one image with photometry."""
    torch.manual_seed(SEED)
    transformer().save_pretrained(folder / "model")
    save_file(random_tokens(1, PHOTOMETRY), folder / "tokens.safetensors")


if __name__ == "__main__":
    write_startup_files(Path(sys.argv[1]))
