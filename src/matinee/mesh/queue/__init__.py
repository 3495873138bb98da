"""A durable work queue: claims, leases, heartbeats, retries with back-off, priorities, cancellation and progress.

A domain defines its items as a subclass of `items.WorkItem`, stores them in a `sql.SqlWorkQueue` and processes them
with a `worker.QueueWorker`.
"""
