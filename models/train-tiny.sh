#!/usr/bin/env bash
# Trains the bundled model anew: four hours of CPU time, about two on two cores. The survey samples are named relative
# to this repository's root (../shared/data); without them, remove the [[data.survey]] sections.
set -euo pipefail
cd "$(dirname "$0")/.."
aion() { cargo run --release --quiet -- "$@"; }
aion train codec configs/codec/tiny-numbers.toml
aion train codec configs/codec/tiny-image.toml
aion train codec configs/codec/tiny-spectrum.toml
aion train model configs/pretrain/tiny.toml
aion train model configs/pretrain/tiny-second.toml
aion train model configs/pretrain/tiny-third.toml
aion train model configs/pretrain/tiny-fourth.toml
