"""Words of scikit-learn, Keras, Lightning, torch, Caffe and papers, and what they are here.

Tables only. Each row has what is answered on the left and the words it answers on the right; one more word is one word
more in its row. Words stand for themselves in any case and with any separators (``max-epochs``, ``maxEpochs``), after
any module (``torch.optim.SGD``) and with endings such as ``Loss`` or ``Scheduler``. Keys and names of this project and
the names of its sections' classes are known anyway, and a word that becomes one of them is struck out here.
"""

from __future__ import annotations

# The path of a key here: other words for it. ".name" is the name of the section that the word stands in.
KEYS = {
    "name": "experiment experiment_name exp_name run_name task_name project project_name title",
    ".name": "type _target_ class_path class_name class cls kind method identifier",
    "seed": "random_state random_seed manual_seed rng rng_seed global_seed torch_seed seed_everything",
    "data": (
        "dataset datasets dset dataset_name data_loader train_dataloader train_loader datamodule train_data train_set"
    ),
    "data.train_size": (
        "n_train num_train train_samples num_train_samples train_rows max_train_samples subset_size subset num_samples "
        "max_samples num_examples n_examples max_examples n_rows num_rows max_rows limit sample_size"
    ),
    "data.test": "test_split test_fraction test_frac test_ratio test_pct train_test_split holdout_fraction split_ratio",
    "data.validation": (
        "val valid val_size val_split val_fraction val_ratio val_pct val_frac valid_size valid_split valid_pct "
        "validation_size validation_split validation_fraction validation_ratio validation_data train_split n_val "
        "dev_size num_val train_val_split train_val_test_split holdout"
    ),
    "data.split": (
        "stratify stratified stratification shuffle_split group_shuffle_split stratified_shuffle_split "
        "splitting split_type split_method split_strategy split_mode groups group_by group_column group_col group_id "
        "time_split time_column date_column split_column split_col splitter"
    ),
    "data.split.draw": "random_state split_seed split_random_state test_seed fold_seed",
    "data.weight": (
        "sample_weight sample_weights sample_weight_column weight_column weight_col weights_column row_weight "
        "row_weights example_weight instance_weight case_weight survey_weight"
    ),
    "data.validation_path": (
        "validation_file validation_files val_path val_file valid_path valid_file dev_path eval_path eval_file"
    ),
    "data.classes": "target_classes class_subset selected_classes keep_classes",
    "data.scaling": (
        "normalize normalise normalization normalisation standardize standardise standardization rescale rescaling "
        "scaler scale feature_scaling preprocess preprocessing transform transforms input_transform to_tensor"
    ),
    "data.path": (
        "csv csv_path csv_file file_path data_file data_files data_path dataset_path filename file files "
        "train_path train_file path_to_data paths"
    ),
    "data.x": "x_name inputs_name input_array x_key input inputs x_train train_x",
    "data.x_val": "x_valid x_validation x_dev val_x validation_x",
    "data.y_val": "y_valid y_validation y_dev val_y validation_y",
    "data.transpose": "transposed transpose_images swap_axes fix_orientation",
    "data.y": "y_name target_array targets_name y_key label_array labels_name y_train train_y labels",
    "data.size": "resize image_size img_size image_shape target_size crop center_crop",
    "data.mode": "color_mode colour_mode grayscale greyscale as_gray gray",
    "data.task": "task_type problem problem_type",
    "data.class_names": "labels label_names target_names categories",
    "data.maximum": "max_value maxval data_range max_pixel",
    "data.target": (
        "targets target_column target_columns target_col target_variable label labels label_column label_col y_column "
        "dependent_variable response response_column outcome"
    ),
    "data.separator": "sep delimiter delim field_separator csv_separator column_separator",
    "data.header": "header_row has_header column_names colnames",
    "data.missing_values": (
        "na_values na_value null_values null_value nan_values missing_value na_filter keep_default_na na_rep"
    ),
    "data.columns": (
        "categorical_columns categorical_cols categorical_features categorical_column cat_columns cat_cols "
        "cat_features cat_names numeric_columns numeric_features numerical_columns numerical_features num_cols "
        "num_columns cont_names continuous_columns continuous_cols date_columns parse_dates column_types "
        "column_kinds feature_types dtypes drop_columns drop_cols ignore_columns exclude_columns columns_to_drop "
        "exclude id_column id_columns id_col index_col index_column dates datetime_columns"
    ),
    "data.numeric": "numerical numeric_preprocessing continuous",
    "data.numeric.missing": (
        "imputation imputer impute imputation_strategy missing_strategy handle_missing missing_value_strategy fillna "
        "fill_value fill_missing dropna drop_nan drop_missing nan_strategy na_strategy"
    ),
    "data.numeric.indicator": "add_indicator missing_indicator na_indicator add_missing_indicator",
    "data.categorical": "category categoricals nominal categorical_preprocessing",
    "data.categorical.encoding": "encoder cat_encoding categorical_encoding category_encoding",
    "data.categorical.min_frequency": "min_count min_freq rare_threshold min_samples",
    "data.categorical.max_levels": "max_categories max_cardinality max_onehot vocab_size most_common one_hot_max_size",
    "data.target_scaling": (
        "target_scaler target_transformer target_normalization normalize_target scale_target standardize_target "
        "normalize_y scale_y y_scaler log_target target_transform"
    ),
    "data.scaling.mean": "norm_mean pixel_mean data_mean",
    "data.scaling.std": "norm_std pixel_std data_std",
    "model": "net network module arch architecture mlp model_cfg backbone model_name model_type model_args",
    "model.hidden": (
        "hidden_layer_sizes neurons_per_layer hidden_widths hidden_layers hidden_layer hidden_sizes hidden_size "
        "hidden_dims hidden_dim hid_dim h_dim fc_dims mlp_dims nodes hidden_units hidden_nodes hidden_neurons "
        "hidden_features hidden_feature_dims n_hidden num_hidden d_hidden num_hidden_units n_units num_units units "
        "neurons width widths layers layer_sizes layer_dims fc_layers fc_size dense_units"
    ),
    "model.activation": (
        "activations activation_fn activation_function activation_func act act_fn act_func act_layer nonlinearity "
        "nonlinearities nonlin hidden_activation"
    ),
    "model.activation.slope": "negative_slope leak leakiness leaky_slope relu_slope alpha",
    "model.output_activation": "final_activation last_activation out_activation out_act output_act output_nonlinearity",
    "model.bias": "biases use_bias with_bias fit_intercept intercept",
    "model.dropout": (
        "dropout_rate dropout_p dropout_prob dropouts drop drop_rate drop_prob p_drop hidden_dropout last_drop"
    ),
    "model.input_dropout": "dropout_input dropout_in in_dropout visible_dropout embed_dropout",
    "model.norm": (
        "batch_norm batch_normalization use_batch_norm use_bn bn layer_norm norm_layer norm_layers normalization_layer"
    ),
    "model.norm.momentum": "bn_momentum norm_momentum",
    "model.norm.eps": "bn_eps norm_eps",
    "model.output_norm": "final_norm last_norm out_norm norm_output",
    "model.residual": "skip skip_connections skip_connection resnet residual_connections use_residual shortcut",
    "model.numeric_embedding": (
        "num_embeddings num_embedding num_emb_type numerical_embedding numerical_embeddings numeric_embeddings "
        "num_embedding_type embed_numbers plr plr_embedding ple"
    ),
    "model.numeric_embedding.frequencies": "n_frequencies num_frequencies plr_hidden_1 n_freqs",
    "model.numeric_embedding.sigma": "frequency_init_scale plr_sigma frequency_scale freq_scale",
    "model.numeric_embedding.size": "d_embedding plr_hidden_2 embedding_size d_emb",
    "model.embedding": (
        "embeddings cat_embedding category_embedding categorical_embedding categorical_embeddings cat_embeddings "
        "embed_dim embedding_dim embedding_dims cat_emb_dim emb_szs emb_sizes"
    ),
    "model.members": "n_ens n_members num_members ensemble ensemble_size n_ensemble tabm tabm_k",
    "model.members.kind": "arch_type ensemble_type tabm_type",
    "model.init": (
        "initialization initialisation initializer initialiser init_method init_type init_mode init_weights "
        "weight_init weights_init weight_initializer weights_initializer kernel_initializer weight_initialization "
        "param_init"
    ),
    "model.init.std": "stddev init_std weight_scale init_stddev init_scale initializer_range weight_std",
    "model.init.bias": "bias_init bias_initializer",
    "loss": (
        "criterion objective criterion_name criterion_type objective_function loss_fn loss_function loss_func "
        "loss_name loss_type cost cost_function"
    ),
    "loss.delta": "beta",
    "loss.label_smoothing": "label_smooth smoothing smoothing_factor smooth_factor",
    "loss.class_weights": "class_weight weight pos_weight scale_pos_weight loss_weight balance_classes",
    "loss.quantiles": "quantile tau taus alpha q levels quantile_levels percentiles quantile_alpha",
    "loss.reduction": "size_average loss_reduction reduce",
    "optimizer": (
        "optim optimiser solver solver_type opt opt_func opt_type optimizer_type optimizer_name optimizer_class "
        "optimizer_params optimizer_args optim_wrapper updater"
    ),
    "optimizer.lr": (
        "learning_rate learning_rate_init base_learning_rate initial_learning_rate base_lr initial_lr init_lr start_lr "
        "lr_init lr0 lr_max max_lr eta eta0 lrate"
    ),
    "optimizer.momentum": "mom moms mu momentum_factor momentum_coefficient",
    "optimizer.nesterov": "nesterovs_momentum nesterov_momentum use_nesterov",
    "optimizer.weight_decay": (
        "l2 l2_reg reg_strength lambda_l2 l2_lambda l2_penalty l2_norm_lambda l2_regularization reg reg_lambda lambda "
        "regularization regularisation regularization_lambda regularization_type regularizer kernel_regularizer "
        "penalty weight_penalty wd ridge decay alpha"
    ),
    "optimizer.weight_decay_for": (
        "no_decay decay_bias bias_decay decay_bias_norm norm_weight_decay bias_weight_decay filter_bias_and_bn "
        "exclude_bias_from_decay exclude_from_weight_decay exclude_bias_and_norm no_weight_decay"
    ),
    "optimizer.betas": "beta beta1 beta2 b1 b2 adam_beta1 adam_beta2 adam_betas opt_betas",
    "optimizer.eps": "epsilon adam_epsilon adam_eps opt_eps",
    "optimizer.alpha": "rho smoothing_constant",
    "optimizer.etas": "eta_minus eta_plus",
    "optimizer.step_sizes": "step_size_min step_size_max",
    "optimizer.ns_steps": "newton_schulz_steps backend_steps",
    "optimizer.history_size": "maxcor memory_size lbfgs_memory",
    "optimizer.max_eval": "max_fun",
    "optimizer.line_search_fn": "line_search",
    "optimizer.tolerance_grad": "gtol pgtol tol_grad",
    "optimizer.tolerance_change": "ftol tol_change",
    "schedule": (
        "scheduler scheduler_type scheduler_name sched lr_scheduler lr_schedule lr_scheduler_type lr_policy "
        "lr_strategy lr_mode lr_config lr_decay lr_decay_type learning_rate_schedule learning_rate_scheduler "
        "learning_rate_policy learning_rate_decay param_scheduler reduce_lr_on_plateau reduce_lr"
    ),
    "schedule.final": "lrf min_lr_ratio final_factor",
    "schedule.warmup": "warmup_epochs warmup_steps warmup_ratio n_steps_warmup num_warmup_steps",
    "schedule.gamma": "lr_gamma scheduler_gamma lr_decay_rate lr_decay_factor decay_rate",
    "schedule.step_size": "scheduler_step_size lr_step lr_step_size lr_decay_step lr_decay_epochs decay_epochs",
    "schedule.milestones": "lr_steps lr_sched_epochs stepvalue",
    "schedule.cycles": "n_cycles num_cycles",
    "schedule.min": "min_factor",
    "schedule.factor": "lr_factor lr_reduction_factor reduce_factor",
    "schedule.patience": "lr_patience plateau_patience scheduler_patience",
    "schedule.threshold": "plateau_threshold",
    "augmentation": "augmentations augment data_augmentation aug train_transform train_transforms",
    "augmentation.shift": (
        "translate translation random_translation max_translation random_crop random_affine affine shifts max_shift "
        "width_shift_range height_shift_range"
    ),
    "augmentation.rotate": "rotation random_rotation rotation_range degrees angle max_rotation rotate_limit",
    "augmentation.scale": "zoom zoom_range random_zoom scale_limit random_scale",
    "augmentation.shear": "shear_range random_shear skew",
    "augmentation.elastic": "elastic_transform elastic_deformation elastic_distortion elastic_distortions",
    "augmentation.flip": (
        "horizontal_flip random_horizontal_flip hflip fliplr random_flip vertical_flip random_vertical_flip "
        "vflip mirror"
    ),
    "augmentation.noise": "gaussian_noise noise_std input_noise add_noise gauss_noise",
    "augmentation.erase": "random_erasing erasing cutout random_erase reprob coarse_dropout",
    "augmentation.mixup": "mixup_alpha",
    "training": (
        "trainer train fit train_cfg train_config training_config training_params train_params training_args "
        "trainer_args hyperparameters hyperparams hparams train_hyperparams training_hyperparams"
    ),
    "training.epochs": (
        "epoch n_epochs n_epoch nb_epoch nb_epochs num_epoch num_epochs max_epoch max_epochs total_epochs train_epochs "
        "num_train_epochs max_num_epochs training_epochs max_iter"
    ),
    "training.batch_size": (
        "batch batches bs bsize mb_size batch_sz minibatch minibatch_size train_batch_size batch_size_train "
        "per_device_train_batch_size samples_per_gpu"
    ),
    "training.shuffle": "shuffling should_shuffle shuffle_train shuffle_data train_shuffle random_shuffle",
    "training.clip_norm": (
        "global_clipnorm clip clip_grad clip_grad_norm clip_gradients grad_clip grad_clip_norm grad_norm_clip "
        "grad_norm_clipping gradient_clip gradient_clip_val gradient_clipping gradient_clip_norm max_grad_norm "
        "max_gradient_norm"
    ),
    "training.clip_value": "clip_grad_value gradient_clip_value grad_clip_value grad_clip_val gradient_clipping_value",
    "training.max_norm": (
        "kernel_constraint weight_constraint max_norm_constraint max_col_norm max_col_norms max_row_norm "
        "max_weight_norm maxnorm_val renorm"
    ),
    "training.l1": (
        "l1_reg l1_lambda lambda_l1 l1_penalty l1_regularization l1_regularizer l1_weight l1_strength l1_coef l1_decay "
        "reg_alpha lasso"
    ),
    "training.ema": (
        "use_ema ema_decay ema_momentum ema_rate ema_beta model_ema model_ema_decay polyak polyak_averaging averaging "
        "average weight_averaging average_weights exponential_moving_average moving_average"
    ),
    "training.device": (
        "accelerator devices device_type gpu gpus gpu_id gpu_ids gpu_device n_gpu num_gpus use_gpu cuda use_cuda "
        "cuda_device no_cuda no_mps no_accel solver_mode"
    ),
    "executor.gpus": (
        "num_gpus gpu gpu_fraction gpus_per_trial gpus_per_batch gpus_per_worker resources resources_per_trial "
        "resources_per_worker"
    ),
    "training.early_stopping": ("early_stop early_stopper early_stopping_callback stop_early"),
    "training.early_stopping.patience": (
        "early_stopping_patience early_stop_patience early_stopping_rounds early_stopping_epochs max_no_improvement "
        "n_iter_no_change no_improvement_patience wait_epochs"
    ),
    "training.early_stopping.min_delta": "tol tolerance early_stopping_min_delta early_stopping_threshold delta_min",
    "training.early_stopping.start": "start_from_epoch start_epoch min_epochs",
    "training.threads": "n_jobs n_threads num_threads nthread cpu_threads n_cpu intra_op_parallelism_threads",
    "training.adversarial": (
        "adversarial_training adversarial_loss adversarial_term adv adv_train adv_training virtual_adversarial "
        "virtual_adversarial_training fast_gradient_sign fast_gradient_method vat fgsm"
    ),
    "training.adversarial.epsilon": "eps adv_eps adv_epsilon adversarial_epsilon attack_eps perturbation",
    "training.adversarial.step": "xi adv_xi vat_xi finite_difference",
    "training.adversarial.iterations": "power_iterations n_power num_power_iterations ip adv_steps attack_steps",
    "training.adversarial.weight": "alpha adv_weight adversarial_weight adv_reg_weight adv_lambda vat_weight",
    "training.precision": "matmul_precision float32_matmul_precision",
    "evaluation": "eval evaluate val_cfg val_evaluator val_dataloader test_cfg evaluator validate",
    "evaluation.split": "eval_split eval_set eval_on evaluate_on",
    "evaluation.metric": "monitor monitor_metric eval_metric validation_metric metric_for_best_model best_metric",
    "training.early_stopping.metric": "monitor early_stopping_metric",
    "schedule.metric": "monitor",
    "evaluation.keep": (
        "checkpoint model_checkpoint save_best save_best_only save_best_model best_model keep_best save_last "
        "save_top_k restore_best_weights load_best_model_at_end load_best"
    ),
    "evaluation.metrics": (
        "eval_metrics scoring scorers score scores further_metrics extra_metrics custom_metrics "
        "metric_names compute_metrics train_metrics val_metrics test_metrics figures"
    ),
    "evaluation.calibrate": "calibration calibrated calibrate_probabilities temperature_scaling temperature",
}

# By the class of a section, or one that it derives from: a key of it, or what to say, for other words.
KEYS_OF = {
    "TableData": {
        "columns: {NAME: drop} leaves a column out": (
            "drop drops dropped drop_column drop_columns drop_cols columns_to_drop cols_to_drop drop_features "
            "ignore ignored ignore_columns ignored_columns ignore_cols ignore_features ignored_features "
            "exclude excluded exclude_columns excluded_columns exclude_cols exclude_features skip skip_columns "
            "remove remove_columns omit unused unused_columns leave_out "
            "index index_col index_column row_id row_names id ids id_col id_column id_columns identifier identifiers"
        ),
        "all columns but the target are inputs; columns: {NAME: drop} leaves one out": (
            "features feature feature_columns feature_cols feature_names input_features input input_columns inputs "
            "predictors usecols use_columns select selected select_columns selected_columns include included "
            "include_columns keep keep_columns cols x x_columns x_cols x_names covariates"
        ),
        "columns: {NAME: categorical} says that a column holds categories": (
            "categorical_columns categorical_cols categorical_features categorical_column cat_columns cat_cols "
            "cat_features cat_names nominal_columns"
        ),
        "columns: {NAME: numeric} says that a column holds numbers": (
            "numeric_columns numeric_features numerical_columns numerical_features num_cols num_columns cont_names "
            "continuous_columns continuous_cols"
        ),
        "columns: {NAME: date} says that a column holds dates": (
            "date_columns parse_dates dates datetime_columns date_cols"
        ),
        "columns: {NAME: KIND} gives a column a kind, drop, numeric, categorical or date": (
            "column_types column_kinds feature_types types dtype dtypes schema converters"
        ),
        "target": "output_features output target_names y_names",
        "constant columns are left out anyway": (
            "drop_constant constant_columns variance_threshold low_variance remove_constant"
        ),
        "repeated rows are kept; `mlptrain data show` counts them": "drop_duplicates dedupe deduplicate duplicates",
    },
    "FileTable": {"header": "names"},
    "ExperimentSpec": {
        "columns belong to the data: data: {name: table, path: …, target: …}, and data.columns: {NAME: KIND} gives a "
        "column a kind or leaves it out": "input_features",
        "what is predicted is data.target: the name of a column, or a list of names": "output_features",
    },
    "SearchSpec": {
        "trials": (
            "n_trials num_trials max_trials num_samples n_samples n_iter max_evals n_calls iterations budget count "
            "num_evaluations n_configs"
        ),
        "method": "sampler algorithm algo search_alg search_algorithm search_method strategy tuner search_strategy",
        "space": (
            "search_space param_space param_grid param_distributions parameter_space parameters params "
            "hyperparameters hyperparams hparams config_space domain grid ranges distributions"
        ),
        "metric": "objective monitor score scoring_metric target_metric metrics",
        "prune": "pruner pruning early_terminate early_termination stopper trial_scheduler halving",
        "batch": "batch_size trials_per_batch",
        "together": "workers n_jobs num_workers parallel parallelism max_concurrent max_concurrent_trials concurrency",
        "scoring": "seeds n_seeds repeats final",
        "executor": "backend cluster",
        "the hours are an option: `mlptrain search SEARCH --hours 2`": (
            "hours timeout time_budget time_limit max_time time_budget_s max_hours duration"
        ),
        "which way is better is known of every metric; leave it out": "direction directions mode goal maximize",
        "arms are compared by `mlptrain compare`, in a file that has no space": "arms optimizers tuning target tie",
    },
    "HalvingSpec": {
        "eta": "factor reduction_factor rate halving_factor",
        "first": "min_resource grace_period min_epochs min_budget r_min resource",
        "trials train for base.training.epochs at most; leave it out": "max_resource max_epochs max_t max_budget",
    },
    "ComparisonSpec": {
        "arms": "variants conditions treatments groups settings configurations experiments runs",
        "metric": "metrics objective score monitor",
        "one for all arms belongs to base, several that are compared to optimizers": "optimizer",
        "which way is better is known of every metric; leave it out": "direction mode goal",
        "seeds stand in scoring: {seeds: 10} and tuning: {seeds: 3}": "seeds n_seeds repeats n_repeats",
    },
    "ScoringSpec": {"the best setting is measured on validation rows, and on test rows where there are some": "split"},
    "TuningSpec": {
        "every setting of a grid is tried, with as many seeds: {seeds: 3}": "trials n_trials method budget repeats",
        "extensions": "extend extension",
    },
}

# Why a key is not offered, and what is instead: the words for it. {schedules} are the names that a schedule may have.
KEYS_NOT_OFFERED = {
    "a time or value to stop at is not offered; training.early_stopping ends a run that no longer gets better": (
        "stop_loss target_loss target_accuracy time_limit max_time"
    ),
    "a rate that a warm-up begins at is not offered; it rises from nothing": "warmup_lr warmup_init_lr",
    "a lowest learning rate is not offered; cosine ends at the share schedule.final of optimizer.lr, plateau at min": (
        "eta_min min_lr lr_min lr_end end_lr final_lr lr_final"
    ),
    "this setting of a schedule is not offered; schedule: {schedules}": (
        "lr_scheduler_freq lr_sched_factors lr_drop power power_t decay_steps t_max t_0 t_mult pct_start div "
        "div_factor scheduler_params"
    ),
    "another way of clipping is not offered; training.clip_norm or training.clip_value": (
        "gradient_clip_algorithm clip_mode clip_type clip_algorithm clip_algo agc"
    ),
    "a ratio of penalties is not offered; training.l1 and optimizer.weight_decay are set one by one": "l1_ratio",
    "this constraint on the weights is not offered; training.max_norm bounds the norm of each unit's": (
        "weight_clip weight_norm spectral_norm"
    ),
    "a probability of keeping is not offered; model.dropout is that of dropping": "keep_prob keep_probability",
    "convolutions are not offered; every network is a multi-layer perceptron": (
        "conv conv_layers convolutions filters n_filters num_filters kernel_size channels pool_size cnn"
    ),
    "a number of layers is not offered; model.hidden lists the width of each": (
        "num_layers n_layers depth num_hidden_layers n_hidden_layers num_fc_layers"
    ),
    "widths of inputs and outputs are not offered; they follow from data and loss": (
        "input_size input_dim input_dims input_shape input_features input_channels in_features in_dim in_channels d_in "
        "n_inputs num_inputs output_size output_dim output_dims output_features output_classes output_channels "
        "out_features out_dim d_out n_outputs num_outputs num_classes nclass x_size num_features"
    ),
    "a switch for flattening is not offered; images are always flattened": "flatten flatten_input reshape",
    "a list of the inputs is not offered; all columns of a data set are inputs, and of a table data.columns: {{NAME: "
    "drop}} leaves one out": "features feature_columns feature_cols input_columns predictors usecols",
    "reading from the network is not offered; data.path names a file": "url",
    "changes of the images are not offered; data.scaling scales the inputs": ("binarize invert"),
    "an encoding of the targets is not offered; the loss makes the one it needs": (
        "one_hot to_categorical label_mode label_encoding"
    ),
    "this change of training images is not offered; augmentation: {{shift, rotate, scale, shear, elastic, flip, noise, "
    "erase, mixup}}": (
        "cutmix color_jitter colour_jitter autoaugment randaugment trivial_augment "
        "trivial_augment_wide augmix gaussian_blur random_perspective random_resized_crop brightness contrast"
    ),
    "cross-validation is not offered as a key; `mlptrain train CONFIG --folds 5`": (
        "cv folds k_fold k_folds n_splits n_folds cross_validation"
    ),
    "a number of steps is not offered; it follows from training.epochs and training.batch_size": (
        "max_steps n_steps num_steps steps train_steps total_steps training_steps iterations n_iterations "
        "num_iterations n_iter iters max_iters num_iter steps_per_epoch iterations_per_epoch batches_per_epoch "
        "train_iters"
    ),
    "a least number of steps is not offered; training.early_stopping.start leaves out the first epochs": "min_steps",
    "a batch size for evaluation is not offered; results do not depend on it": (
        "test_batch_size eval_batch_size val_batch_size valid_batch_size validation_batch_size batch_size_test "
        "batch_size_val per_device_eval_batch_size test_iter"
    ),
    "dropping the last batch is not offered; a shorter one is trained on": "drop_last drop_remainder",
    "gradient accumulation is not offered; use a larger training.batch_size": (
        "accumulate_grad_batches gradient_accumulation_steps accumulation_steps grad_accum iter_size"
    ),
    "half precision is not offered; training.precision is that of float32 products": (
        "amp use_amp amp_dtype fp16 bf16 half mixed_precision dtype"
    ),
    "an equal average of late weights is not offered; training.ema averages all along the way": (
        "swa swa_start swa_lr swa_epoch_start swa_freq"
    ),
    "an interval of evaluation is not offered; every epoch is evaluated, on evaluation.split": (
        "eval_every eval_interval eval_period validation_steps eval_freq eval_frequency validation_frequency "
        "validation_interval eval_steps evaluate_every val_every val_interval val_freq validation_freq test_interval "
        "test_freq check_val_every_n_epoch val_check_interval evaluation_frequency"
    ),
    "a confusion matrix is not offered as a key; `mlptrain eval RUN` shows it": "confusion_matrix",
    "which way a metric gets better is not offered as a key; it follows from its name": "monitor_mode metric_mode",
    "what is printed is not offered as a key; training.record_steps keeps the loss of every step": (
        "verbose verbosity log_period report_every refresh_rate train_log_interval print_train_iter silent quiet "
        "log_interval log_every log_freq log_frequency log_every_n_steps log_steps logging_steps logging_interval "
        "print_freq print_every print_interval display display_interval report_interval progress progress_bar "
        "enable_progress_bar"
    ),
    "callbacks are not offered": "callbacks callback hooks default_hooks cbs",
    "loggers are not offered; a run folder keeps metrics.jsonl, and `mlptrain report RUN` draws it": (
        "logger loggers logging log log_level wandb use_wandb wandb_project tensorboard use_tensorboard tb mlflow "
        "comet neptune tracker trackers track visdom"
    ),
    "folders and checkpoints are not offered as keys; a run keeps its weights, and --run-dir names its folder": (
        "save save_dir checkpoint_every checkpoint_period checkpoints_per_epoch steps_per_checkpoint save_path "
        "save_model save_freq save_every save_interval save_period save_steps save_logs save_weights model_dir "
        "model_path model_save_path output output_dir output_path out_dir out_path log_dir log_path checkpoint_dir "
        "checkpoint_path checkpoint_freq checkpoint_hist checkpoints ckpt_dir enable_checkpointing default_root_dir "
        "root_dir work_dir results_dir result_dir experiment_dir snapshot snapshot_prefix snapshot_freq "
        "export_dir tb_dir run_dir"
    ),
    "a folder of data is not offered as a key; use --data-dir or $MLPTRAIN_DATA_DIR": (
        "data_dir data_root data_folder dataset_dir dataset_root root dirpath"
    ),
    "a switch for downloading is not offered; data are fetched when first needed": "download dataset_download",
    "settings of a loader are not offered; all rows are in memory": (
        "num_workers n_workers pin_mem use_multiprocessing workers n_cpu_workers pin_memory persistent_workers "
        "prefetch prefetch_factor collate_fn sampler cache buffer_size"
    ),
    "resuming is not offered as a key; use `mlptrain train --resume RUN`": (
        "resume resume_from initial_epoch resume_from_checkpoint ckpt ckpt_path restore"
    ),
    "starting from trained weights is not offered as a key; use `mlptrain train CONFIG --from RUN`": (
        "load load_from load_path load_model initial_checkpoint pretrained warm_start weights"
    ),
    "several seeds are not offered as a key; use `mlptrain train CONFIG --seeds 0,1,2`": (
        "seeds n_seeds num_seeds n_runs num_runs repeats trials"
    ),
    "a trial run is not offered as a key; `mlptrain check CONFIG` trains nothing, data.train_size takes few rows": (
        "dry_run fast_dev_run debug smoke_test limit_train_batches limit_val_batches limit_test_batches "
        "overfit_batches num_sanity_val_steps profiler detect_anomaly"
    ),
    "a switch for exact repetition is not offered; runs always repeat": (
        "deterministic deterministic_mode benchmark cudnn_benchmark cudnn_deterministic cudnn reproducible"
    ),
    "several devices are not offered": (
        "strategy ddp sync_bn distributed distributed_backend num_nodes world_size rank local_rank backend "
        "dist_backend sync_batchnorm launcher multi_gpu data_parallel"
    ),
    "a choice of implementation is not offered": "foreach fused capturable differentiable maximize jit_compile",
    "a switch for logits is not offered; cross_entropy and bce read logits": "from_logits with_logits",
    "a mode is not offered": "phase stage do_train do_eval do_test test_only eval_only run_mode",
    "compilation is not offered": "compile torch_compile jit torchscript channels_last",
    "a search is not offered in this file; `mlptrain init NAME --kind search` writes one of its own": (
        "hyperopt optuna sweep sweeper search grid grid_search param_grid hparams_search"
    ),
    "a search for the learning rate is not offered as a key; `mlptrain lr-find CONFIG` suggests one": (
        "lr_find find_lr lr_finder lr_range_test range_test lr_range auto_lr auto_lr_find tune_lr lr_tune lr_tuner "
        "auto_scale_lr suggest_lr lr_search lr_suggestion"
    ),
    "a place to run is not offered in this file; it is a key of a comparison or a search, and an option of "
    "`mlptrain lr-find CONFIG --executor ray`": "executor ray",
    "a sign of decimals or thousands is not offered as a key; it is detected from the numbers, as `mlptrain data show "
    "CONFIG` says": "decimal decimal_sep decimal_separator decimal_sign thousands thousands_sep thousands_separator",
    "an encoding of the file is not offered as a key; UTF-8, UTF-16 and Windows-1252 are detected from its bytes": (
        "encoding file_encoding csv_encoding charset"
    ),
    "a form of dates is not offered as a key; it is detected from the dates; data.columns: {{NAME: date}} names such a "
    "column": "date_format date_formats datetime_format dayfirst",
    "leaving out lines of the file is not offered; delete them from it": "skip_rows skip_lines skipfooter",
    "a sheet is not offered as a key; save it as a file of comma-separated values": "sheet sheet_name worksheet",
    "notes are not offered as keys; write them as comments, after #": (
        "tags notes note description version author comment"
    ),
    "composing files is not offered; one file is one experiment": (
        "defaults hydra include includes extends inherit _self_"
    ),
    "a mapping of arguments is not offered; write its keys one level up": (
        "args kwargs init_args dict_kwargs params parameters config cfg options settings"
    ),
}

# For the values of some keys: the name here, with a remark after "?", and the words for it. What stands for
# activation stands for output_activation too.
VALUES = {
    "data": {  # names of known data sets that are not offered are in `mlptrain.sources.known`
        "mnist": "mnist_784 load_mnist mnist_dataset",
        "fashion_mnist": "fmnist fashion zalando zalando_mnist load_fashion_mnist",
        "digits": "load_digits sklearn_digits optdigits",
        "iris": "load_iris",
        "penguins": "palmerpenguins load_penguins",
        "wine": "load_wine wine_recognition",
        "breast_cancer": "load_breast_cancer wdbc",
        "diabetes": "load_diabetes",
        "random_classification": "make_classification",
        "random_regression": "make_regression",
        "random_multilabel": "make_multilabel_classification make_multilabel",
        "moons": "make_moons two_moons half_moons",
        "circles": "make_circles",
    },
    "activation": {
        "sigmoid": "logistic logsig expit sigm",
        "tanh": "tansig hyperbolic_tangent",
        "arctan": "atan",
        "silu": "swish",
        "relu": "rectifier rectify rectified_linear",
        "leaky_relu": "lrelu leaky",
        "prelu": "parametric_relu",
        "identity": "linear none null no purelin id",
    },
    "numeric_embedding": {
        "periodic": "plr pl periodic_embeddings plr_embeddings sine fourier",
        "piecewise_linear": "ple piecewise_linear_embeddings piecewise quantile q_l q_lr bins",
        "none": "null no off linear",
    },
    "init": {
        "normal": "gaussian gauss randn random_normal standard_normal",
        "{name: normal, std: fan_in}": "lecun lecun_normal",
        "xavier_uniform": "xavier glorot glorot_uniform",
        "xavier_normal": "glorot_normal",
        "kaiming_normal": "he he_normal kaiming kaiming_he msra",
        "kaiming_uniform": "he_uniform",
        "default": "none null auto torch pytorch pytorch_default torch_default",
    },
    "loss": {
        "cross_entropy": (
            "ce cce crossent xent softmax_crossentropy crossentropy_with_logits softmax_cross_entropy_with_logits"
        ),
        "cross_entropy? It contains the softmax": (
            "nll negative_log_likelihood log_loss multinomial multi:softmax multi:softprob softmax log_softmax "
            "softmax_with_loss scce categorical_crossentropy sparse_categorical_crossentropy"
        ),
        "cross_entropy? It contains the softmax; for two classes bce contains the sigmoid": "logistic log deviance",
        "bce": "bce_with_logits binary_crossentropy_with_logits sigmoid_crossentropy binary binary:logistic",
        "bce? It contains the sigmoid": "bce_loss binary_cross_entropy binary_logloss sigmoid",
        "mse": (
            "l2 squared squared_error sum_squared_error mean_square sum_of_squares sse quadratic euclidean "
            "reg:squarederror"
        ),
        "mae": "l1 absolute_error absolute mean_absolute",
        "huber": "smooth_l1",
        "multi_label_bce": "multilabel bce_multilabel multilabel_soft_margin multilabel_cross_entropy",
        "quantile": "pinball quantile_regression check_loss reg:quantileerror tilted multi_quantile",
        "{name: cross_entropy, label_smoothing: 0.1}": "label_smoothing label_smoothing_cross_entropy smooth_ce",
    },
    "metrics": {
        "accuracy": "acc accuracy_score categorical_accuracy sparse_categorical_accuracy binary_accuracy top_1",
        "balanced_accuracy": "balanced_accuracy_score bacc bal_acc mean_class_accuracy uar",
        "f1": "f1_score f1_macro macro_f1 f1_binary f_score f_measure dice",
        "precision": "precision_score precision_macro macro_precision ppv positive_predictive_value",
        "recall": "recall_score recall_macro macro_recall sensitivity tpr true_positive_rate",
        "roc_auc": "auc auroc roc_auc_score roc_auc_ovr roc area_under_curve area_under_roc",
        "average_precision": "ap auprc aupr pr_auc map average_precision_score mean_average_precision auc_pr",
        "log_loss": (
            "nll negative_log_likelihood cross_entropy categorical_crossentropy binary_crossentropy bce "
            "mlogloss neg_log_loss neg_log_likelihood deviance"
        ),
        "brier": "brier_score brier_score_loss neg_brier_score",
        "ece": "expected_calibration_error calibration_error calibration multiclass_calibration_error",
        "mcc": "matthews matthews_corrcoef matthews_correlation matthews_correlation_coefficient phi_coefficient",
        "top_k": "top_k_accuracy top_k_accuracy_score top_k_categorical_accuracy top_k_acc",
        "{name: top_k, k: 2}": "top_2 top_2_accuracy acc_top2 acc2",
        "{name: top_k, k: 3}": "top_3 top_3_accuracy acc_top3 acc3",
        "{name: top_k, k: 5}": "top_5 top_5_accuracy acc_top5 acc5",
        "{name: top_k, k: 10}": "top_10 top_10_accuracy acc_top10 acc10",
        "rmse": "root_mean_squared_error neg_root_mean_squared_error rms root_mse",
        "rmse? The root of the mean squared error": "mse mean_squared_error neg_mean_squared_error l2 squared_error",
        "mae": "mean_absolute_error neg_mean_absolute_error l1 absolute_error mean_abs_error",
        "r2": "r2_score r_squared r_square coefficient_of_determination explained_variance",
        "mape": "mean_absolute_percentage_error neg_mean_absolute_percentage_error",
    },
    "calibrate": {
        "temperature": "temperature_scaling temp temperature_scaler guo scaling yes on true",
        "none": "null no off false raw",
    },
    "optimizer": {
        "sgd": (
            "gd gradient_descent stochastic_gradient_descent batch_gradient_descent minibatch_gd batch_gd vanilla "
            "backprop"
        ),
        "{name: sgd, momentum: 0.9}": "momentum sgdm sgd_momentum sgd_with_momentum heavy_ball",
        "{name: sgd, momentum: 0.9, nesterov: true}": (
            "nesterov nag nesterov_momentum sgd_nesterov nesterov_accelerated_gradient"
        ),
        "{name: adam, amsgrad: true}": "amsgrad",
        "adadelta": "zeiler",
        "radam": "rectified_adam",
        "asgd": "averaged_sgd polyak polyak_averaging",
        "rprop": "resilient_backpropagation resilient_propagation",
        "lbfgs": "bfgs lbfgsb limited_memory_bfgs",
    },
    "schedule": {
        "constant": "none null no off fixed const",
        "linear": "poly polynomial linear_decay",
        "cosine": "cosine_annealing annealing half_cosine cos",
        "{name: cosine, cycles: 4}": "cosine_annealing_warm_restarts cosine_with_restarts cosine_restarts",
        "{name: cosine, warmup: 0.05}": "cosine_warmup warmup_cosine",
        "{name: linear, warmup: 0.05}": "linear_warmup",
        "one_cycle": "cycle one_cycle_policy",
        "plateau": "reduce_lr_on_plateau reduce_on_plateau adaptive",
        "exponential": "exp",
        "multi_step": "piecewise piecewise_constant",
        "inverse_sqrt": "noam inv_sqrt",
    },
    "adversarial": {
        "vat": "virtual_adversarial_training vadv",
        "fgsm": "fgm fast_gradient_sign fast_gradient_sign_method fast_gradient_method adversarial_training",
    },
    "norm": {
        "batch": "bn batch_norm batch_normalization true yes on",
        "layer": "ln layer_norm layer_normalization",
        "none": "null no off false identity",
        "l2": "2 euclidean",
        "linf": "inf infinity max sign chebyshev",
    },
    "scaling": {
        "unit": "minmax maxabs to_tensor rescale divide divide_by_255",
        "standard": "standardize standardise zscore normalize normalise normalized mean_std std zero_mean auto",
        "quantile": "quantile_transformer rank_gauss quantile_normal",
        "none": "null no off false raw identity",
    },
    "task": {
        "classification": "classify classifier class binary multiclass binary_classification multiclass_classification",
        "regression": "regress regressor numeric continuous",
    },
    "columns": {
        "numeric": "number num float int integer numerical continuous real double",
        "categorical": "category cat nominal ordinal string str object factor bool boolean binary enum",
        "date": "datetime time timestamp",
        "drop": "ignore skip exclude remove none",
    },
    "missing": {
        "mean": "average",
        "{constant: 0}": "zero zeros 0 constant fill",
        "drop_row": "drop dropna drop_rows remove delete",
        "error": "raise fail refuse",
    },
    "encoding": {
        "one_hot": "dummy dummies onehot_encoder",
        "ordinal": "label label_encoding label_encoder integer codes ordinal_encoder",
        "embedding": "embed embeddings entity_embedding learned learnt",
    },
    "target_scaling": {
        "standard": "standardize standardise zscore normalize normalise mean_std true",
        "log1p": "log ln logarithm",
        "none": "null no off false raw identity",
    },
    "device": {
        "cuda": "gpu nvidia",
        "cpu": "none null host",
    },
    "precision": {
        "highest": "32 fp32 float32 float 32_true single full",
        "high": "tf32",
    },
    "split": {
        "validation": "val valid dev eval holdout",
        "test": "testing",
        "random": "shuffle shuffled shuffle_split k_fold uniform",
        "stratified": "stratify class stratified_k_fold stratified_shuffle_split",
        "group": "groups grouped group_shuffle_split group_k_fold leave_one_group_out",
        "time": "chronological temporal date timestamp time_series time_series_split sequential",
        "column": "predefined predefined_split fixed given",
    },
    "metric": {
        "validation_loss": "val_loss valid_loss eval_loss dev_loss loss",
        "validation_accuracy": "val_accuracy val_acc valid_accuracy valid_acc eval_accuracy dev_accuracy accuracy acc",
        "train_loss": "training_loss",
        "train_accuracy": "training_accuracy train_acc",
    },
    "keep": {
        "best": "min lowest best_only",
        "last": "final latest newest",
    },
    "flip": {
        "horizontal": "left_right hflip lr fliplr horizontally x",
        "vertical": "up_down vflip ud flipud vertically y",
        "none": "null no off false",
    },
    "reduction": {
        "mean": "average avg batchmean auto true",
        "sum": "total false",
    },
    "batch_size": {
        "full": "all whole full_batch entire",
    },
    "weight_decay_for": {
        "weights": "weight kernel kernels matrices no_bias no_norm not_biases",
        "all": "everything every_parameter parameters both",
    },
    "bias": {
        "zeros": "zero 0 constant none",
    },
    "method": {
        "tpe": "bayes bayesian bayesian_optimization optuna hyperopt tpe_sampler parzen",
        "gp": "gaussian_process gp_sampler skopt botorch bayes_opt bo",
        "halton": "qmc quasi_random sobol lhs latin_hypercube qmc_sampler low_discrepancy",
        "random": "random_search randomized randomised rand random_sampler uniform",
        "grid": "grid_search grid_sampler exhaustive full_factorial",
    },
    "prune": {
        "halving": "sha asha hyperband successive_halving halving_search bohb",
    },
    "goal": {
        "max": "maximize maximise maximum higher up larger",
        "min": "minimize minimise minimum lower down smaller",
    },
    "space": {
        "uniform": "float real rand_float suggest_float suggest_uniform continuous double",
        "log_uniform": "log reciprocal suggest_log_uniform log_uniform_values log_float",
        "integers": "int integer randint int_uniform suggest_int range discrete",
        "log_integers": "log_int lograndint log_integer int_log",
    },
}

# For the values of some keys: a remark on what is not offered, often none, and the words for it.
VALUES_NOT_OFFERED = {
    "activation": {
        "": (
            "relu6 celu rrelu crelu hard_sigmoid hard_tanh hard_swish hardshrink softshrink tanhshrink threshold mish "
            "maxout softsign glu swiglu geglu snake sin sine sinc gaussian rbf step heaviside sign quadratic exp "
            "exponential cos log_sigmoid softmin approximate_gelu quick_gelu gelu_new gelu_tanh"
        ),
        "cross_entropy contains the softmax of the outputs": "softmax log_softmax sparsemax",
    },
    "output_activation": {
        "cross_entropy contains the softmax, so leave output_activation out": "softmax log_softmax",
    },
    "init": {
        "": (
            "zeros zero ones one constant orthogonal truncated_normal trunc_normal variance_scaling eye identity "
            "sparse dirac lsuv he_truncated lecun_uniform"
        ),
        "default is uniform, from −1/√fan_in to 1/√fan_in": "uniform random_uniform rand random",
    },
    "loss": {
        "": (
            "hinge squared_hinge categorical_hinge multi_margin multilabel_margin kl_div kld kl "
            "kullback_leibler_divergence focal focal_loss poisson poisson_nll gaussian_nll cosine "
            "cosine_similarity cosine_embedding log_cosh dice ctc triplet margin_ranking contrastive "
            "soft_margin mape mean_absolute_percentage_error msle mean_squared_logarithmic_error tweedie gamma"
        ),
        "mse has the same minimum": "rmse root_mean_squared_error",
    },
    "optimizer": {
        "": "cg conjugate_gradient newton sag saga sparse_adam tadam zero levenberg_marquardt",
        "by this name; write its import path, such as pytorch_optimizer:Lion of mlptrain[optimizers]": (
            "adabelief adabound adamp adan adopt apollo ftrl fromage lamb lars lion lookahead madgrad nadamw novograd "
            "prodigy ranger rmsprop_tf sgdp sgdw shampoo soap sophia yogi"
        ),
        "by this name; write schedulefree:AdamWScheduleFree, of mlptrain[optimizers]": (
            "schedule_free adamw_schedule_free sgd_schedule_free"
        ),
    },
    "schedule": {
        "": (
            "cyclic invscaling inv inverse_time inverse_time_decay lambda multiplicative warmup sequential chained tanh"
        ),
    },
    "adversarial": {
        "": "free yopo trades mart awp cw deepfool vada mixup",
        "fgsm makes one step": "pgd bim i_fgsm mi_fgsm apgd projected_gradient_descent",
        "leave the key out for none": "none null no off false",
    },
    "norm": {
        "": "instance instance_norm group group_norm rms rms_norm spectral weight weight_norm ghost virtual l1 1 l0",
    },
    "scaling": {
        "": "robust quantile power l1 l2 unit_norm whiten whitening pca zca",
    },
    "columns": {
        "a column of text is a category or left out": "text",
        "target names the column to predict": "target label",
    },
    "missing": {
        "median, mean or {constant: …} take their place": (
            "most_frequent mode ffill bfill forward_fill interpolate knn iterative mice none"
        ),
    },
    "encoding": {
        "": "target target_encoding hash hashing frequency count leave_one_out catboost binary",
    },
    "target_scaling": {
        "": "minmax robust quantile box_cox yeo_johnson power sqrt",
    },
    "device": {
        "use cpu": "mps metal tpu xpu hip rocm dml directml vulkan hpu npu ipu meta",
    },
    "precision": {
        "products are of float32": "16 fp16 half float16 bf16 bfloat16 16_mixed bf16_mixed 64 fp64 float64 double",
    },
    "reduction": {
        "": "none null no",
    },
    "flip": {
        "an image is flipped one way": "both all random",
    },
    "keep": {
        "": "all none every",
    },
    "metrics": {
        "": (
            "kappa cohen_kappa cohen_kappa_score hinge_loss jaccard jaccard_score iou hamming hamming_loss "
            "specificity g_mean ndcg max_error median_absolute_error msle mean_squared_log_error poisson_deviance "
            "pinball smape bleu perplexity spearman kendall pearson confusion_matrix"
        ),
        "loss is always measured": "loss",
    },
    "method": {
        "": "cma_es nevergrad pbt evolutionary genetic annealing hillclimb",
    },
    "prune": {
        "halving compares trials that train together": "median percentile patient threshold wilcoxon median_pruner",
    },
    "space": {
        "uniform and log_uniform have two ends": "normal randn gaussian log_normal truncated_normal",
        "list the values": "quniform quantized step",
    },
    "calibrate": {
        "temperature is one number that leaves the predicted classes as they are": (
            "isotonic isotonic_regression platt platt_scaling sigmoid vector_scaling vector matrix_scaling dirichlet "
            "histogram_binning beta"
        ),
    },
}
