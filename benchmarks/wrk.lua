-- One request again and again. TARGET, TOKEN, BODY; with LIMIT, says "enough" after so many answers.
wrk.method = "POST"
wrk.path = os.getenv("TARGET")
wrk.body = os.getenv("BODY")
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("TOKEN")

local limit = tonumber(os.getenv("LIMIT"))
if limit then
   local count = 0
   function response()
      count = count + 1
      if count == limit then
         io.stdout:write("enough\n")
         io.stdout:flush()
         wrk.thread:stop()
      end
   end
end

function done(summary, latency)
   local errors = summary.errors
   local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
   io.stdout:write(string.format(
      '{"per_second":%.3f,"p50":%.4f,"p99":%.4f,"failed":%d,"count":%d}\n',
      summary.requests / summary.duration * 1e6,
      latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, failed, summary.requests))
end
