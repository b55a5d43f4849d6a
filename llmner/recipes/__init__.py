"""Recipes: what is asked, of which labels, how it is to be answered; and the conversation that
comes of it.
"""

from llmner.recipes.chat import Prompt, build_prompt
from llmner.recipes.recipe import Layout, Recipe, builtin_recipes, recipe_folder

__all__ = ["Layout", "Prompt", "Recipe", "build_prompt", "builtin_recipes", "recipe_folder"]
