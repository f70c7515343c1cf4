//! The transformer's cases: tokens shown and hidden.

use aion_data::ModalityId;
use aion_kernel::Weights;
use aion_kernel::tensor_file::TensorFile;
use aion_model::{Checkpoint, DecoderAttention, Transformer, Visible, VisibleTokens};
use burn::tensor::Device;

use crate::case::Case;
use crate::measure::{self, Agreement};

/// Standard deviation of balanced targets, codes; that of `fixtures/gradients.py`.
const SMOOTHING: f32 = 12.0;

pub fn measure(case: &Case) -> Agreement {
    let device = Device::flex();
    let config = Checkpoint::open(&case.model(), &device)
        .expect("a checkpoint")
        .transformer
        .config()
        .clone();
    let weights =
        Weights::open(&case.model().join("model.safetensors"), &device).expect("readable weights");
    let model = Transformer::new(&config, &weights).expect("a model");
    let (names, _) = weights.finish().expect("complete weights");
    let attention = match case.about.attention.as_deref() {
        Some("content") => DecoderAttention::Content,
        Some("reference") => DecoderAttention::Reference,
        other => panic!("{}: attention {other:?}", case.name),
    };
    let balanced = case.about.balance.as_deref() == Some("modality");
    let file = case.tensors("tokens.safetensors");
    let (shown, hidden) = (side(case, &file, "shown"), side(case, &file, "hidden"));
    let loss = |model: &Transformer, objects: &[usize]| {
        let pick = |side: &[VisibleTokens]| -> Vec<VisibleTokens> {
            objects.iter().map(|object| side[*object].clone()).collect()
        };
        let loss = model.loss(&pick(&shown), &pick(&hidden), SMOOTHING);
        let loss = loss.expect("a loss");
        if balanced { loss.balanced } else { loss.mean }
    };
    measure::measure(case, model.with_decoder_attention(attention), &names, loss)
}

/// The tokens of each object that are not marked absent, with their positions.
fn side(case: &Case, file: &TensorFile, side: &str) -> Vec<VisibleTokens> {
    let mut objects = vec![VisibleTokens::new(); case.about.objects];
    for name in file.names() {
        let Some(key) = name.strip_prefix(side).and_then(|n| n.strip_prefix('/')) else {
            continue;
        };
        let modality = ModalityId::from_key(key).expect("a known key");
        let values = file.values(name).expect("integers");
        let rows = values.chunks(values.len() / objects.len());
        for (object, row) in objects.iter_mut().zip(rows) {
            let present = row.iter().enumerate().filter(|(_, token)| **token >= 0.0);
            let (positions, tokens): (Vec<u16>, Vec<u16>) = present
                .map(|(position, token)| (position as u16, *token as u16))
                .unzip();
            if !tokens.is_empty() {
                object.insert(modality, Visible { tokens, positions });
            }
        }
    }
    objects
}
