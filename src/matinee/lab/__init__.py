"""Exercise the product from outside: demo catalogue, local engines, benchmarks, endurance runs."""
