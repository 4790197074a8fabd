"""AWS's own client: what it is told by JSON on its standard input, with placeholders for keys, through a proxy.

{"proxy": URL, "ca": FILE, "steps": [{"call": "get_secret_value", "with": {…}}, …]} gives a list of {"answer"} or {"error"}.
"""

import json
import sys

import boto3
import botocore.exceptions
from botocore.config import Config

given = json.load(sys.stdin)
client = boto3.client(
    "secretsmanager",
    region_name="eu-west-1",
    aws_access_key_id="AKIAPLACEHOLDER00000",
    aws_secret_access_key="placeholder",
    verify=given["ca"],
    config=Config(proxies={"https": given["proxy"]}, retries={"total_max_attempts": 1}, connect_timeout=20, read_timeout=20),
)
said = []
for step in given["steps"]:
    try:
        answer = getattr(client, step["call"])(**step["with"])
        answer.pop("ResponseMetadata")
        said.append({"answer": answer})
    except botocore.exceptions.ClientError as error:
        said.append({"error": error.response["ResponseMetadata"]["HTTPStatusCode"], "text": str(error)})
print(json.dumps(said, default=str))
