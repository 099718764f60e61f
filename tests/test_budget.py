import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.budget import Budget, Price, load_prices, max_tokens_in
from curation.engines.base import Completion, Request
from curation.errors import BudgetExceeded

PRICE = Price(input=1.0, output=5.0, batch_input=0.5, batch_output=2.5)


def request(number: int, text: str = "why?", max_tokens: int = 100) -> Request:
    return Request(f"q{number}", text, max_tokens)


@given(
    limit=st.floats(0, 0.02),
    calls=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 100)), max_size=60),
    num_in_flight=st.integers(1, 8),
)
def test_spending_never_passes_the_limit(limit, calls, num_in_flight):
    budget = Budget(limit, 0.0)
    waiting: list[tuple[int, int, int]] = []
    for number, (num_in, num_out) in enumerate(calls):
        try:
            budget.reserve(f"q{number}", request(number), PRICE)
        except BudgetExceeded:
            break
        waiting.append((number, num_in, num_out))
        if len(waiting) == num_in_flight:
            settled, used_in, used_out = waiting.pop(0)
            budget.settle(f"q{settled}", Completion("x", "m", input_tokens=used_in, output_tokens=used_out), PRICE)
            assert budget.spent_usd <= limit
    for settled, used_in, used_out in waiting:
        budget.settle(f"q{settled}", Completion("x", "m", input_tokens=used_in, output_tokens=used_out), PRICE)
    assert budget.spent_usd <= limit


def test_failed_call_gives_its_reservation_back():
    budget = Budget(0.002, 0.0)
    for number in range(50):
        budget.reserve(f"q{number}", request(number), PRICE)
        assert budget.settle(f"q{number}", None, PRICE) == 0.0
    assert budget.spent_usd == 0.0


def test_answer_without_token_counts_costs_its_whole_reservation_not_zero():
    budget = Budget(None, 0.0)
    budget.reserve("q", request(0), PRICE)
    cost_usd = budget.settle("q", Completion("x", "m"), PRICE)
    assert cost_usd == pytest.approx(PRICE.cost_usd(max_tokens_in("why?"), 100))


def test_batches_are_charged_at_the_batch_price():
    assert PRICE.cost_usd(1e6, 1e6, batch=True) == 3.0
    assert PRICE.cost_usd(1e6, 1e6) == 6.0
    assert Price(input=1, output=1).cost_usd(1e6, 0, batch=True) == 1.0


def test_price_table_has_its_date_and_a_config_may_add_models():
    table = load_prices({"mine": PRICE})
    assert table.date
    assert table.models["mine"] == PRICE
    assert "claude-haiku-5-5" in table.models
