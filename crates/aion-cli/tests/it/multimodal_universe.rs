//! Folders of the Multimodal Universe as inputs: the same object has the same tokens, whether it comes
//! in HDF5, in HATS Parquet, or in the survey's own file.

use std::collections::BTreeMap;
use std::path::Path;

use aion_data::token_files::TokenReader;

use crate::run::{Scratch, model};

/// The tokens of an input's objects, by modality, in the order of the input.
fn tokens(scratch: &Scratch, input: &str) -> Vec<BTreeMap<String, Vec<u16>>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/surveys/mmu");
    let output = scratch.path("tokens.parquet");
    let more = ["--on-error", "fail"];
    scratch
        .verb(
            "tokenize",
            (&model("full"), &root.join(input), &output),
            &more,
        )
        .success();
    let rows = TokenReader::open(&output).expect("tokens");
    let row = |row: aion_data::Result<aion_data::TokenRow>| {
        let tokens = row.expect("a row").tokens;
        let named = tokens
            .into_iter()
            .map(|(id, tokens)| (id.to_string(), tokens));
        named.collect()
    };
    rows.map(row).collect()
}

#[test]
fn the_same_object_has_the_same_tokens_in_every_format() {
    let scratch = Scratch::new();
    for (set, modality) in [
        ("legacysurvey", "tok_image"),
        ("hsc", "tok_image_hsc"),
        ("sdss", "tok_spectrum_sdss"),
        ("desi", "tok_spectrum_desi"),
    ] {
        let hdf5 = tokens(&scratch, &format!("v1/{set}"));
        assert_eq!(hdf5, tokens(&scratch, &format!("hats/mmu_{set}")), "{set}");
        assert_eq!(hdf5.len(), 2);
        assert!(
            hdf5.iter().all(|object| object.contains_key(modality)),
            "{set}"
        );
        let native = match set {
            "legacysurvey" => ["cutout-1498p022-17.fits.gz", "cutout-1498p022-18.fits.gz"],
            "sdss" => [
                "spec-0266-51630-0023.fits.gz",
                "spec-0266-51630-0024.fits.gz",
            ],
            _ => continue,
        };
        for (object, file) in hdf5.iter().zip(native) {
            let native = tokens(&scratch, &format!("native/{file}"));
            assert_eq!(native[0][modality], object[modality], "{file}");
        }
    }
    let stars = tokens(&scratch, "v1/gaia");
    assert_eq!(stars.len(), 3);
    assert!(stars.iter().all(|star| star["tok_xp_bp"].len() == 55));
}
