"""Admin pages of accounts and totals."""

from collections import deque
from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.http import HttpRequest
from django_otp.plugins.otp_totp.models import TOTPDevice

from users import personal_data
from users.models import User, UserStats

# `manage.py second_factor` makes them: in the admin, a session that was taken over could make one for itself.
admin.site.unregister(TOTPDevice)


class UserCreationForm(AdminUserCreationForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """Django's form with the e-mail address as user name."""

    class Meta:
        model = User
        fields = ("email", "display_name")


@admin.register(User)
class UserAdmin(BaseUserAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Accounts: search, set passwords, deactivate."""

    add_form = UserCreationForm
    list_display = ("email", "display_name", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff")
    search_fields = ("email", "display_name")
    ordering = ("-id",)
    readonly_fields = ("date_joined", "last_login")
    fieldsets = (
        (None, {"fields": ("email", "password", "display_name")}),
        ("Permissions", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("date_joined", "last_login")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "display_name", "usable_password", "password1", "password2")}),)

    def get_deleted_objects(self, objs: Iterable[User], request: HttpRequest) -> tuple[Any, ...]:
        """List the accounts only, not every answer. Refuse one's own: the log of one's changes would go, too."""
        names = [f"{user}, with all answers" for user in objs]
        refused = [f"{user}: your own account" for user in objs if user == request.user]
        return names, {"users": len(names)}, set(), refused

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        """Delete in batches."""
        deque(personal_data.delete(obj), maxlen=0)

    def delete_queryset(self, request: HttpRequest, queryset: Iterable[User]) -> None:
        for user in queryset:
            self.delete_model(request, user)


@admin.register(UserStats)
class UserStatsAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Totals, read-only: `manage.py recount_statistics` derives them from the answers."""

    list_display = ("user", "total_correct", "total_answers", "current_streak", "longest_streak", "last_guess_date")
    search_fields = ("user__email", "user__display_name")
    ordering = ("-total_correct", "-longest_streak", "user_id")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # the first answer creates the row

    def has_change_permission(self, request: HttpRequest, obj: UserStats | None = None) -> bool:
        return False  # the next recount would overwrite a change
