"""Before the admin site's own, whose names for these pages lead here."""

from django.contrib import admin
from django.urls import path

from accounts import views

urlpatterns = [
    path("login/", views.SignIn.as_view(), name="sign_in"),
    path("login/code/", views.SignInCode.as_view(), name="sign_in_code"),
    path("second-factor/", admin.site.admin_view(views.SecondFactorPage.as_view()), name="second_factor"),
    path("password_change/", admin.site.admin_view(views.change_password, cacheable=True)),
]
