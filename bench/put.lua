wrk.method = "PUT"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"type":"daily","date":"2026-05-19","tenant_id":"acme","env_id":3,"active_users":7}'
