"""The plan of a search keeps its shape and estimates and loses every value."""

from hie.repository.explaining import masked

PLAN = """Limit  (cost=8.60..8.61 rows=1 width=92)
  ->  Index Scan using resource_pkey on resource  (cost=0.41..8.43 rows=2 width=92)
        Index Cond: ((compartment = 'p-77'::text) AND (type = 'Observation'::text))
        Filter: ((NOT deleted) AND (tokens && '{-5,71}'::bigint[]) AND (n > 5.4) AND (m = -3))
        Filter: (s = 'O''Hara'::text)"""


def test_a_plan_loses_its_values() -> None:
    shown = masked(PLAN)
    for value in ("p-77", "71", "5.4", "-3", "Hara"):
        assert value not in shown
    assert "'Observation'" in shown
    assert "(cost=0.41..8.43 rows=2 width=92)" in shown
    assert "Index Scan using resource_pkey" in shown
