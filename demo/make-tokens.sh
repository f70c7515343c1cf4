#!/usr/bin/env bash
# Makes demo/tokens, on which configs/pretrain/smoke.toml trains: tokens of a simulated sky by the codecs of
# models/aion-tiny, a file a survey and one of pairs. Nothing in them is observed. About three minutes on two
# cores. Made anew when the bundled codecs change, since files of tokens name the codecs that made them.
set -euo pipefail
cd "$(dirname "$0")/.."
aion() { "${AION:-target/release/aion}" "$@"; }
sky=target/smoke-sky
tokens=demo/tokens
rm -rf "$sky" "$tokens"
mkdir -p "$tokens"
aion simulate --objects 1600 --area 12000 --images yes --seed 6 --output "$sky"
aion crossmatch "$sky/legacy" "$sky/desi" --radius 1 --output "$sky/legacy-desi.parquet"
for set in legacy hsc sdss desi gaia legacy-desi.parquet; do
    aion tokenize --model models/aion-tiny --input "$sky/$set" --without tok_segmap \
        --output "$tokens/${set%.parquet}.parquet"
done
rm -rf "$sky"
du -sh "$tokens"
