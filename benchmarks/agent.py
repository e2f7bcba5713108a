"""The agent that every contender serves."""

from agents import Agent

agent = Agent(name="Helper", instructions="Answer in one sentence.")
