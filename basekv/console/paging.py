"""Pages of long lists: nobody reads further than this, so nobody counts further."""

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.views import ChangeList

MOST = 10_000  # rows that are counted and can be paged through


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts to MOST at most: a search or a filter leads to what is behind."""

    template_name = "console/pagination.html"
    most = MOST

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        assert isinstance(rows, QuerySet)
        return rows.order_by()[:MOST].count()


class QuickChangeList(ChangeList):
    """Loads no column that is large and not shown; offers to show all only where that is more."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        return rows.defer(*self.model_admin.list_without)

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count
