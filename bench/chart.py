"""The benchmark's rows as a picture: speedups with their targets, and memory."""

INK, OURS, TORCH, MISSED, GRID = "#222222", "#2a6f97", "#c9cdd2", "#c1666b", "#e6e8ea"


def draw(rows, floors, path):
    """Writes an SVG (or whatever the name's ending asks for)."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "aion"
    from matplotlib import pyplot

    rows = rows[::-1]
    height = 1.2 + 0.34 * len(rows)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, height), sharey=True, width_ratios=[3, 2])
    places = range(len(rows))
    draw_speedups(left, rows, floors, places)
    draw_memory(right, rows, places)
    left.set_yticks(places, [f"{row['name']}  x{row['batch']}" for row in rows])
    for axes in (left, right):
        axes.tick_params(length=0, colors=INK)
        axes.grid(axis="x", color=GRID)
        axes.set_axisbelow(True)
        for side in axes.spines.values():
            side.set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if str(path).endswith(".svg") else None)
    pyplot.close(figure)


def draw_speedups(axes, rows, floors, places):
    targets = [floors.get(f"{row['name']} x{row['batch']}", {}).get("target") for row in rows]
    reached = [target is None or row["speedup"] >= target for row, target in zip(rows, targets)]
    colors = [OURS if fine else MISSED for fine in reached]
    errors = [row["speedup"] * (row["ours_spread"] + row["torch_spread"]) for row in rows]
    style = {"ecolor": INK, "elinewidth": 0.8, "capsize": 2}
    axes.barh(places, [row["speedup"] for row in rows], xerr=errors, color=colors, height=0.62, error_kw=style)
    for place, target in zip(places, targets):
        if target is not None:
            axes.plot([target, target], [place - 0.4, place + 0.4], color=INK, linewidth=1.6)
    axes.axvline(1, color=INK, linewidth=0.8, linestyle=":")
    axes.set_xlim(left=0)
    axes.set_title("times as fast as PyTorch eager (bar: target; dotted: equal)", fontsize=10, loc="left", color=INK)


def draw_memory(axes, rows, places):
    axes.barh(places, [row["torch_mb"] / 1e3 for row in rows], color=TORCH, height=0.62, label="PyTorch")
    axes.barh(places, [row["ours_mb"] / 1e3 for row in rows], color=OURS, height=0.34, label="aion")
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    axes.set_title("peak memory of the process, GB", fontsize=10, loc="left", color=INK)
