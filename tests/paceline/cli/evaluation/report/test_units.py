from paceline.cli.evaluation.report.units import BYTES, COUNT, HOURS, SHARE, TIMES, size_unit, to_figures


def test_numbers_are_shown_in_their_unit():
    assert TIMES.show(1.7132) == "1.71"
    assert SHARE.show(0.7132) == "71.3"
    assert COUNT.show(28_672) == "28,672"


def test_sizes_get_the_unit_that_suits_them():
    assert (size_unit(512).symbol, size_unit(512).show(512)) == ("bytes", "512")
    assert (size_unit(28_672).symbol, size_unit(28_672).show(28_672)) == ("kib", "28.0")
    assert (size_unit(512 << 20).symbol, size_unit(512 << 20).show(512 << 20)) == ("mib", "512")
    assert size_unit(1_552_000_000).show(1_552_000_000) == "1.45"
    assert size_unit(0) == BYTES


def test_three_figures_are_shown_of_large_and_small_numbers():
    shown = [to_figures(HOURS, value).show(value) for value in (0.0, 0.01234, 1.234, 123.4, 12_345.6)]
    assert shown == ["0.00", "0.0123", "1.23", "123", "12,346"]
