"""Why a run does not go on, or why it failed, by what keeps it. Pure: they judge what run/facts.py has fetched."""
