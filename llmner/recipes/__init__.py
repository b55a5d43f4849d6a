"""Recipes: which labels to ask for, how to ask, how to answer; and the prompts made from them."""

from llmner.recipes.chat import Prompt, build_prompt
from llmner.recipes.recipe import Layout, Recipe, builtin_recipes, recipe_folder

__all__ = ["Layout", "Prompt", "Recipe", "build_prompt", "builtin_recipes", "recipe_folder"]
