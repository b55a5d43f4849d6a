"""Recipes: which labels to ask for, how to ask, how to answer; and the prompts made from them."""

from llmner.recipes.chat import Prompt, build_prompt
from llmner.recipes.recipe import Layout, Recipe, Windows, builtin_recipes, recipe_folder

__all__ = [
    "Layout",
    "Prompt",
    "Recipe",
    "Windows",
    "build_prompt",
    "builtin_recipes",
    "recipe_folder",
]
