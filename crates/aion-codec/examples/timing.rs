//! Scratch.
use aion_codec::image::*;
use aion_codec::spectrum::*;
use aion_data::*;
use aion_kernel::Weights;
use burn::tensor::Device;
use std::time::Instant;
fn time(name: &str, mut f: impl FnMut()) {
    f();
    let mut v: Vec<f64> = (0..5)
        .map(|_| {
            let t = Instant::now();
            f();
            t.elapsed().as_secs_f64()
        })
        .collect();
    v.sort_by(f64::total_cmp);
    println!("{name} {:.1} ms", v[2] * 1e3);
}
fn main() {
    let d = Device::flex();
    let codec = ImageCodec::new(&ImageConfig::published(), &Weights::seeded(0, &d));
    let img = Image {
        bands: ["DES-G", "DES-R", "DES-I", "DES-Z"]
            .map(String::from)
            .to_vec(),
        height: 96,
        width: 96,
        flux: (0..4 * 96 * 96)
            .map(|i| ((i * 7919) % 1000) as f32 / 1000.0)
            .collect(),
        ivar: None,
    };
    let c = codec.compress(&img).unwrap();
    for b in [1usize, 4] {
        let v = vec![c.clone(); b];
        time(&format!("image-encode {b}"), || {
            codec.encode(&v, &d);
        });
        let t: Vec<u16> = (0..576).collect();
        let ts = vec![t.as_slice(); b];
        let bands = vec![img.bands.clone(); b];
        time(&format!("image-decode {b}"), || {
            codec.decode(&ts, &bands, &d).unwrap();
        });
    }
    let codec = SpectrumCodec::new(&SpectrumConfig::published(), &Weights::seeded(0, &d));
    let n = 7781;
    let w: Vec<f32> = (0..n).map(|i| 3600.0 + 0.8 * i as f32).collect();
    let s = Spectrum {
        flux: (0..n).map(|i| 5.0 + (i as f32 * 0.01).sin()).collect(),
        ivar: vec![1.0; n],
        mask: vec![false; n],
        wavelength: w.clone(),
    };
    let c = codec.prepare(&s).unwrap();
    for b in [1usize, 4] {
        let v = vec![c.clone(); b];
        time(&format!("spectrum-encode {b}"), || {
            codec.encode(&v, &d);
        });
        let t: Vec<u16> = (0..273).collect();
        let ts = vec![t.as_slice(); b];
        let ws = vec![Some(w.as_slice()); b];
        time(&format!("spectrum-decode {b}"), || {
            codec.decode(&ts, &ws, &d);
        });
    }
}
