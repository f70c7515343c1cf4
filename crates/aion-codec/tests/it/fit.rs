//! Codebooks fitted from data open again as codecs.

use std::collections::HashMap;

use aion_codec::scalar::ScalarFit;
use aion_codec::{Codec, CodecSet};
use aion_data::{Kind, Measurement, ModalityId, Object};
use burn::tensor::Device;

fn save(folder: &std::path::Path, id: ModalityId, fit: ScalarFit) {
    let (config, tensors) = fit.finish().expect("something was seen");
    let folder = folder.join("codecs").join(id.info().codec);
    std::fs::create_dir_all(&folder).expect("folder");
    let text = serde_json::to_string_pretty(&config).expect("JSON");
    std::fs::write(folder.join("config.json"), text).expect("written");
    let path = folder.join("model.safetensors");
    aion_kernel::tensor_file::save(&path, &tensors, HashMap::new()).expect("written");
}

#[test]
fn fitted_codebooks_code_their_own_data_evenly() {
    let folder = tempfile::tempdir().expect("folder");
    let scalars: Vec<ModalityId> = ModalityId::all()
        .filter(|id| id.info().kind == Kind::Scalar)
        .take(2)
        .collect();
    let vector = ModalityId::all()
        .find(|id| id.info().kind == Kind::Coefficients)
        .expect("one in the table");
    let values: Vec<f32> = (0..5000)
        .map(|i| ((i * 37 % 5000) as f32 / 100.0).powi(2))
        .collect();
    let mut plain = ScalarFit::quantiles(scalars[0].info().codec, 2000, 3);
    let mut log = ScalarFit::log_quantiles(scalars[1].info().codec, 2000, 3);
    let mut components = ScalarFit::vector(vector.info().codec, 55, 500, 3);
    for value in &values {
        plain.push(&[*value]);
        log.push(&[*value - 1.0]);
        components.push(&[*value; 55]);
    }
    save(folder.path(), scalars[0], plain);
    save(folder.path(), scalars[1], log);
    save(folder.path(), vector, components);

    let codecs = CodecSet::new(folder.path(), &Device::flex());
    let Codec::Scalar(codec) = &codecs.codec(scalars[0]).expect("opens").codec else {
        panic!("not a scalar codec");
    };
    let mut counts = vec![0usize; 1024];
    for value in &values {
        counts[usize::from(codec.encode(&[*value])[0])] += 1;
    }
    assert!(counts.iter().filter(|count| **count > 0).count() > 900);
    let mut object = Object::named("one");
    object
        .measurements
        .insert(scalars[1], Measurement::Scalar(-5.0));
    object
        .measurements
        .insert(vector, Measurement::Coefficients(vec![400.0; 55]));
    let encoded = codecs
        .encode(&[object])
        .expect("opens")
        .remove(0)
        .expect("coded");
    assert_eq!(encoded.ranges[&scalars[1]].outside, 1, "below the floor");
    let decoded = codecs
        .decode(vector, &[&encoded.tokens[&vector]], &[])
        .expect("decodes");
    let Measurement::Coefficients(values) = &decoded[0] else {
        panic!("not coefficients");
    };
    assert!(
        values
            .iter()
            .all(|value| (value / 400.0 - 1.0).abs() < 0.05),
        "{values:?}"
    );
}
