//! A sequence is said token by token, each from those before it, and nothing else asked matters to it.

use aion_model::sequence::{SENTINELS, SequenceToken};
use aion_model::{DecoderAttention, ModelError, Target, Targets, Transformer, Visible};
use aion_model::{VisibleTokens, show_all};
use burn::tensor::{Tensor, activation};

use crate::batch::{at, model, objects};
use crate::case::{difference, key};

const ATTENTIONS: [DecoderAttention; 2] = [DecoderAttention::Reference, DecoderAttention::Content];

fn said() -> Vec<u16> {
    let code = |code| SequenceToken::Code(code).said();
    let (first, second) = (sentinel(1), sentinel(2));
    vec![
        first,
        code(40),
        code(130),
        code(700),
        second,
        code(41),
        code(131),
    ]
}

fn sentinel(number: u16) -> u16 {
    SequenceToken::Sentinel(number).said()
}

fn after(tokens: &[u16]) -> (aion_data::ModalityId, Target) {
    (key("catalog"), Target::After(tokens.to_vec()))
}

/// Logits of one modality, `(rows, vocabulary)`, for questions about the first objects.
fn logits(model: &Transformer, targets: &[Targets], name: &str) -> Tensor<2> {
    let encoded = model.encode(&objects()[..targets.len()]).expect("states");
    let decoded = model.decode(&encoded, targets).expect("decoder states");
    model.logits(&decoded, key(name)).expect("logits")
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[test]
fn a_later_token_changes_no_earlier_answer() {
    for attention in ATTENTIONS {
        let model = model().with_decoder_attention(attention);
        let answers = |tokens: &[u16]| {
            let targets = [Targets::from([after(tokens)])];
            values(logits(&model, &targets, "catalog"))
        };
        let mut changed = said();
        changed[4] += 1;
        let (one, other) = (answers(&said()), answers(&changed));
        let before = 4 * key("catalog").info().vocabulary;
        assert_eq!(one[..before], other[..before], "{attention:?}");
        assert!(difference(&one[before..], &other[before..]) > 1e-3);
        let short = answers(&said()[..4]);
        assert!(difference(&one[..before], &short) < 1e-6, "{attention:?}");
    }
}

#[test]
fn sequences_and_grids_do_not_feel_each_other() {
    let grids = [
        at(&[("tok_z", &[0]), ("tok_xp_bp", &[3, 50])]),
        Targets::new(),
        at(&[("tok_xp_bp", &[7])]),
    ];
    let with = |places: &[usize]| {
        let mut targets = grids.clone();
        for &place in places {
            targets[place].extend([after(&said()[place..])]);
        }
        targets
    };
    for attention in ATTENTIONS {
        let model = model().with_decoder_attention(attention);
        let close = |found: Tensor<2>, expected: Tensor<2>| {
            let off = difference(&values(found), &values(expected));
            assert!(off < 1e-6, "{attention:?}: {off}");
        };
        let all = with(&[0, 1, 2]);
        for name in ["tok_z", "tok_xp_bp"] {
            // An object has to be asked something, so the second one stays.
            let fewer = with(&[1]);
            close(logits(&model, &all, name), logits(&model, &fewer, name));
        }
        let alone: Vec<Targets> = (0..3)
            .map(|place| Targets::from([after(&said()[place..])]))
            .collect();
        let found = logits(&model, &all, "catalog");
        close(found, logits(&model, &alone, "catalog"));
    }
}

#[test]
fn the_loss_is_that_of_each_token_after_those_before() {
    let (model, said) = (model(), said());
    let shown = vec![show_all(0, &objects()[0]).expect("counts that fit")];
    let hidden = vec![VisibleTokens::from([(key("catalog"), Visible::all(&said))])];
    let loss = model.loss(&shown, &hidden, 0.0).expect("a loss");
    let (sum, count) = loss.by_modality[&key("catalog")];
    assert_eq!(count, said.len() - 1);
    let targets = [Targets::from([after(&said[..count])])];
    let log = activation::log_softmax(logits(&model, &targets, "catalog"), 1);
    let log = values(log);
    let rows = log.chunks(key("catalog").info().vocabulary).zip(&said[1..]);
    let expected: f32 = rows.map(|(row, token)| -row[usize::from(*token)]).sum();
    assert!((sum - f64::from(expected)).abs() < 1e-4, "{sum} {expected}");
}

#[test]
fn what_is_no_sequence_has_no_next_token() {
    let model = model();
    let encoded = model.encode(&objects()[..1]).expect("states");
    let decode = |target: (_, Target)| model.decode(&encoded, &[Targets::from([target])]).err();
    let grid = decode((key("tok_xp_bp"), Target::After(vec![1])));
    assert!(matches!(grid, Some(ModelError::GridTarget { .. })));
    assert!(decode(after(&[sentinel(SENTINELS - 1), sentinel(1)])).is_none());
    let beyond = decode(after(&[SequenceToken::Code(3264).said()]));
    assert!(matches!(beyond, Some(ModelError::TokenOutside { .. })));
    let none = decode(after(&[]));
    assert!(matches!(none, Some(ModelError::NoTargets { .. })));
}
