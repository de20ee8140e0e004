"""Routes of the game's pages."""

from django.urls import path

from flags import views

urlpatterns = [
    path("", views.home, name="home"),
    path("practice/", views.practice, name="practice"),
    path("questions/<int:question_id>/", views.question, name="question"),
    path("statistics/", views.statistics, name="statistics"),
    path("leaderboard/", views.leaderboard, name="leaderboard"),
    path("most-guessed/", views.most_guessed, name="most_guessed"),
    path("flags/<slug:token>.svg", views.flag_image, name="flag_image"),
]
