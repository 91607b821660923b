"""The spine of every population run: generations, ledger, executors.  Knows neither neurons nor networks."""
