"""Forms to sign up, to log in, and to manage an account."""

from collections.abc import Iterable
from typing import Any, ClassVar, cast

from django import forms
from django.contrib.auth import authenticate, password_validation
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, PasswordResetForm
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from users.login_attempts import too_many
from users.mail_limit import may_send
from users.models import User

TOO_MANY = "Too many attempts for this e-mail address. Wait a quarter of an hour, and try again."
HAS_ACCOUNT = "This e-mail address has an account already. Log in instead, or use another address."


class LoginForm(AuthenticationForm):
    """Django's form with its own texts; the e-mail address is the user name."""

    error_messages = {  # noqa: RUF012 (as the class above has it)
        **AuthenticationForm.error_messages,
        "invalid_login": "That e-mail address and password don’t go together. Check both and try again.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Browsers offer saved addresses under "username", and phones show the keyboard with @ for type=email.
        self.fields["username"].widget = forms.EmailInput(
            {"autocomplete": "username", "maxlength": 254, "autofocus": True}
        )

    def clean_username(self) -> str:
        """Return the address in lower case, as it is stored."""
        return str(self.cleaned_data["username"]).lower()

    def get_invalid_login_error(self) -> ValidationError:
        """Say when the right password would be refused, too."""
        if too_many(self.cleaned_data["username"]):
            return ValidationError(TOO_MANY, code="too_many")
        return super().get_invalid_login_error()


class ResetForm(PasswordResetForm):
    """Django's form, which would look for the address without an index."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = "E-mail address"
        self.fields["email"].widget.attrs["autofocus"] = True

    def get_users(self, email: str) -> Iterable[User]:
        """Return the account, if it may log in with a password."""
        users = User.objects.filter(email=email.lower(), is_active=True)
        return [user for user in users if user.has_usable_password()]

    def send_mail(self, *args: Any, **kwargs: Any) -> None:
        """Send no more mails to an address than it may get."""
        if may_send(self.cleaned_data["email"]):
            super().send_mail(*args, **kwargs)


class AddressForm(forms.Form):
    """The first step of signing up by mail."""

    email = forms.EmailField(
        label="E-mail address",
        max_length=254,
        widget=forms.EmailInput({"autocomplete": "email", "autofocus": True}),
        help_text="Only for logging in. Other players never see it.",
    )

    def clean_email(self) -> str:
        """Return the address in lower case, as it is stored."""
        return str(self.cleaned_data["email"]).lower()


def is_own_password(user: User, password: str) -> bool:
    """Check as a login does: wrong ones are logged, and an account takes only so many."""
    return authenticate(None, username=user.email, password=password) == user


class ChangeForm(PasswordChangeForm):
    """Django's form, which would let a stolen session guess the password at any rate."""

    def clean_old_password(self) -> str:
        password = str(self.cleaned_data["old_password"])
        if is_own_password(self.user, password):
            return password
        if too_many(self.user.email):
            raise ValidationError(TOO_MANY, code="too_many")
        raise ValidationError(self.error_messages["password_incorrect"], code="password_incorrect")


class DeletionForm(forms.Form):
    """The password again, before what can't be undone."""

    password = forms.CharField(
        label="Your password",
        strip=False,
        max_length=4096,
        widget=forms.PasswordInput({"autocomplete": "current-password", "autofocus": True}),
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_password(self) -> str:
        password = str(self.cleaned_data["password"])
        if is_own_password(self.user, password):
            return password
        if too_many(self.user.email):
            raise ValidationError(TOO_MANY, code="too_many")
        raise ValidationError("This is not your password. Please enter it again.", code="wrong")


class SignUpForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    """E-mail address, password (once: the browser can show it), and the public name."""

    password = forms.CharField(
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
        strip=False,
        help_text="At least 8 characters, and nothing that thousands of others use too. A short sentence is good.",
    )

    class Meta:
        model = User
        fields: tuple[str, ...] = ("email", "display_name")
        labels: ClassVar = {"display_name": "Display name (optional)"}
        help_texts: ClassVar = {
            "email": "Only for logging in. Other players never see it.",
            "display_name": "What other players see on the leaderboard.",
        }
        widgets: ClassVar = {
            "email": forms.EmailInput({"autocomplete": "email", "autofocus": True}),
            "display_name": forms.TextInput({"autocomplete": "nickname"}),
        }

    def clean_email(self) -> str:
        """Report at the field, not above the form, that an address has an account: only where no mail is sent."""
        email = str(self.cleaned_data["email"])
        if User.objects.filter(email=email).exists():
            raise ValidationError(HAS_ACCOUNT, code="taken")
        return email

    def clean_display_name(self) -> str:
        """Reject a name that looks like an e-mail address: the leaderboard would publish it."""
        name = " ".join(str(self.cleaned_data["display_name"]).split())
        if "@" in name:
            raise ValidationError(
                "Other players will see this name: leave out the @ of an e-mail address.", code="address"
            )
        if not name.isprintable():
            raise ValidationError("This name has invisible characters in it: type it anew.", code="unprintable")
        return name

    def _post_clean(self) -> None:
        # Not in clean_password: similarity is checked against the address and name of the same form.
        super()._post_clean()  # type: ignore[misc]  # not in the stubs
        password = self.cleaned_data.get("password")
        if password:
            try:
                password_validation.validate_password(password, self.instance)
            except ValidationError as problem:
                self.add_error("password", problem)

    def save(self, commit: bool = True) -> User:
        """Create the user; raise ValidationError when a concurrent request has created the same address."""
        self.instance.set_password(self.cleaned_data["password"])
        try:
            with transaction.atomic():
                super().save(commit)
        except IntegrityError as error:
            raise ValidationError({"email": HAS_ACCOUNT}) from error
        return cast(User, self.instance)


class NewAccountForm(SignUpForm):
    """The second step of signing up by mail. The instance has the verified address."""

    class Meta(SignUpForm.Meta):
        fields = ("display_name",)
