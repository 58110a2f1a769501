"""Line plots have the labels and colours of the tables' rows."""

from example_record import example_record

from vitae.report import figures


def test_learning_curves_are_labelled_by_the_rows_titles_in_the_order_of_the_table():
    records = [example_record(model) | {"losses": [9.0, 5.0, 4.0]} for model in ("devae-2", "vae", "u-vitae+beta-tc")]
    (axes,) = figures.learning_curves(records).axes
    colours = {line.get_label(): line.get_color() for line in axes.lines}
    assert list(colours) == ["DeVAE [1, 40]", "VAE", "u-vitae+beta-tc"]
    cycle = ["#0072b2", "#d55e00", "#009e73"]
    assert [f"#{colours[name].lstrip('#')}" for name in ("VAE", "DeVAE [1, 40]", "u-vitae+beta-tc")] == cycle
    assert axes.get_ylim()[1] < 9, "the first epoch would flatten the curves"
