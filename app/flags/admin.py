"""The admin's pages for the game."""

from typing import ClassVar

from django.contrib import admin
from django.http import HttpRequest

from flags.models import Country, DailyChallenge, Question, UserAnswer


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Shows rows of the game, read-only: a change would make the statistics wrong."""

    show_full_result_count = False  # counting a big table takes longer than showing a page of it

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Country)
class CountryAdmin(ReadOnlyAdmin):
    """Countries come from the data file (`manage.py load_countries`), which would undo a change made here."""

    list_display = ("flag_emoji", "name", "code", "region", "subregion", "lookalikes")
    list_display_links = ("name",)
    list_filter = ("region",)
    search_fields = ("name", "code")

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False  # questions refer to it


@admin.register(DailyChallenge)
class DailyChallengeAdmin(ReadOnlyAdmin):
    """Past, present and future daily challenges."""

    list_display = ("date", "country", "selection_algorithm_version")
    date_hierarchy = "date"
    search_fields = ("country__name",)

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False  # deleting it would delete the answers


@admin.register(Question)
class QuestionAdmin(ReadOnlyAdmin):
    list_display = ("id", "kind", "country", "challenge", "user", "is_open", "created_at")
    # Django joins only foreign keys that can't be null by itself.
    list_select_related: ClassVar = ["country", "challenge", "user"]
    list_filter = ("kind",)
    search_fields = ("country__name", "user__email")
    ordering = ("-id",)


@admin.register(UserAnswer)
class UserAnswerAdmin(ReadOnlyAdmin):
    list_display = ("id", "user", "question_country", "answered_country", "is_correct", "answered_at")
    list_filter = ("is_correct",)
    search_fields = ("user__email",)
    ordering = ("-id",)

    @admin.display(description="asked")
    def question_country(self, answer: UserAnswer) -> Country:
        return answer.question.country
