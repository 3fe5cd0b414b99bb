//! The requests that kferry speaks, and which of them cannot change a cluster.

use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message};

/// A request that kferry sends, with its key and its answer's type.
pub trait Request: Message + Encodable + HeaderVersion {
    const KEY: i16;
    const NAME: &'static str;
    type Response: Decodable + HeaderVersion + Send;
}

/// A request that changes nothing on the cluster: all that a source is ever sent before the cutover.
pub trait ReadRequest: Request {}

macro_rules! requests {
    ($(#[$doc:meta])* $marker:ident: $($name:ident, $request:ident, $response:ident;)*) => {
        $(
            impl Request for $request {
                const KEY: i16 = ApiKey::$name as i16;
                const NAME: &'static str = stringify!($name);
                type Response = $response;
            }
            requests!(@mark $marker $request);
        )*
    };
    (@mark read $request:ident) => { impl ReadRequest for $request {} };
    (@mark write $request:ident) => {};
}

requests! { read:
    ApiVersions, ApiVersionsRequest, ApiVersionsResponse;
    ConsumerGroupDescribe, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse;
    DescribeAcls, DescribeAclsRequest, DescribeAclsResponse;
    DescribeClientQuotas, DescribeClientQuotasRequest, DescribeClientQuotasResponse;
    DescribeConfigs, DescribeConfigsRequest, DescribeConfigsResponse;
    DescribeGroups, DescribeGroupsRequest, DescribeGroupsResponse;
    DescribeLogDirs, DescribeLogDirsRequest, DescribeLogDirsResponse;
    DescribeProducers, DescribeProducersRequest, DescribeProducersResponse;
    DescribeQuorum, DescribeQuorumRequest, DescribeQuorumResponse;
    DescribeTransactions, DescribeTransactionsRequest, DescribeTransactionsResponse;
    DescribeUserScramCredentials, DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse;
    Fetch, FetchRequest, FetchResponse;
    FindCoordinator, FindCoordinatorRequest, FindCoordinatorResponse;
    ListGroups, ListGroupsRequest, ListGroupsResponse;
    ListOffsets, ListOffsetsRequest, ListOffsetsResponse;
    ListPartitionReassignments, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse;
    ListTransactions, ListTransactionsRequest, ListTransactionsResponse;
    Metadata, MetadataRequest, MetadataResponse;
    OffsetFetch, OffsetFetchRequest, OffsetFetchResponse;
    OffsetForLeaderEpoch, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
    SaslAuthenticate, SaslAuthenticateRequest, SaslAuthenticateResponse;
    SaslHandshake, SaslHandshakeRequest, SaslHandshakeResponse;
}

requests! { write:
    AddPartitionsToTxn, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse;
    AlterClientQuotas, AlterClientQuotasRequest, AlterClientQuotasResponse;
    CreateAcls, CreateAclsRequest, CreateAclsResponse;
    CreateTopics, CreateTopicsRequest, CreateTopicsResponse;
    DeleteAcls, DeleteAclsRequest, DeleteAclsResponse;
    DeleteRecords, DeleteRecordsRequest, DeleteRecordsResponse;
    DeleteTopics, DeleteTopicsRequest, DeleteTopicsResponse;
    EndTxn, EndTxnRequest, EndTxnResponse;
    IncrementalAlterConfigs, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
    InitProducerId, InitProducerIdRequest, InitProducerIdResponse;
    OffsetCommit, OffsetCommitRequest, OffsetCommitResponse;
    OffsetDelete, OffsetDeleteRequest, OffsetDeleteResponse;
    Produce, ProduceRequest, ProduceResponse;
    WriteTxnMarkers, WriteTxnMarkersRequest, WriteTxnMarkersResponse;
}
