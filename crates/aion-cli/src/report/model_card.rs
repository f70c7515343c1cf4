//! What is known of the model: its card, if one lies beside it.

use std::path::Path;

/// Names under which model cards are found.
const FILES: [&str; 3] = ["README.md", "MODEL_CARD.md", "model_card.md"];

/// The model card in a checkpoint's folder.
pub fn read(folder: &Path) -> Option<String> {
    let mut texts = FILES
        .iter()
        .map(|name| std::fs::read_to_string(folder.join(name)));
    texts.find_map(Result::ok)
}
