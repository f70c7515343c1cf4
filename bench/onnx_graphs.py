"""The networks that ONNX Runtime runs: those of `torch_side.py` without what is around them.

Pre-processing, quantiser and embeddings of tokens stay out, so the graphs do a little less than the rows that they
stand beside. Weights are random; shapes are fixed, as an optimiser of graphs likes them best.
"""

import torch
from torch import nn

import torch_side
from torch_side import RAGGED, SPECTRUM_TOKENS

IMAGE_CHANNELS, IMAGE_LATENT = 54, 5
SPECTRUM_GRID, SPECTRUM_LATENT = 8704, 10
WIDTH = 768


class Graph(nn.Module):
    """A part of `owner`, whose weights it uses."""

    def __init__(self, owner, function):
        super().__init__()
        self.owner, self.function = owner, function

    def forward(self, *inputs):
        return self.function(self.owner, *inputs)


def image_encoder(codec, bands):
    return codec.pre_quant_proj(codec.encoder(bands))


def image_decoder(codec, latents):
    return codec.decoder(codec.post_quant_proj(latents))


def spectrum_encoder(codec, spectra):
    latents = codec.encoder(spectra).transpose(1, 2)
    return codec.quant_conv(codec.pre_quant_norm(latents).transpose(1, 2))


def spectrum_decoder(codec, latents):
    return codec.decoder(codec.post_quant_conv(latents))


def encoder(model, tokens, positions, mask=None):
    """Embedded tokens to the states that the decoder reads."""
    states = model.forward_encoder(tokens + positions, encoder_mask=mask)
    return model.decoder_proj_context(states) + positions


def predictor(model, tokens, positions, questions):
    """Embedded tokens and questions to the logits of a spectrum."""
    states = encoder(model, tokens, positions)
    # The published mask hides every question from every other, which leaves softmax with equal numbers.
    batch, count, _ = questions.shape
    hidden = torch.ones(batch, count, count, dtype=torch.bool)
    answers = model.forward_decoder(questions, states, None, hidden)
    return model.decoder_embeddings["tok_spectrum_desi"].forward_logits(answers)


def embedded(batch, tokens):
    """Tokens and their positions."""
    return [torch.randn(batch, tokens, WIDTH) for _ in range(2)]


def ragged(batch):
    """Padded to the longest object, with a mask."""
    return [*embedded(batch, RAGGED[1]), torch.zeros(batch, 1, RAGGED[1], dtype=torch.bool)]


def asked(batch):
    return [*embedded(batch, 580), torch.randn(batch, SPECTRUM_TOKENS, WIDTH)]


# Who has the weights, what is computed, on which inputs.
GRAPHS = {
    "image-encode": (torch_side.image_codec, image_encoder, lambda b: [torch.randn(b, IMAGE_CHANNELS, 96, 96)]),
    "image-decode": (torch_side.image_codec, image_decoder, lambda b: [torch.randn(b, IMAGE_LATENT, 24, 24)]),
    "spectrum-encode": (torch_side.spectrum_codec, spectrum_encoder, lambda b: [torch.randn(b, 2, SPECTRUM_GRID)]),
    "spectrum-decode": (
        torch_side.spectrum_codec,
        spectrum_decoder,
        lambda b: [torch.randn(b, SPECTRUM_LATENT, SPECTRUM_TOKENS - 1)],
    ),
    "encode": (torch_side.transformer, encoder, lambda b: embedded(b, 855)),
    "encode-ragged": (torch_side.transformer, encoder, ragged),
    "predict-spectrum": (torch_side.transformer, predictor, asked),
}


def export(name, batch, path):
    """Writes the graph of one row's network."""
    owner, function, inputs = GRAPHS[name]
    torch.manual_seed(torch_side.SEED)
    graph = Graph(owner().eval(), function)
    with torch.inference_mode():
        torch.onnx.export(graph, tuple(inputs(batch)), str(path), opset_version=17, dynamo=False)
